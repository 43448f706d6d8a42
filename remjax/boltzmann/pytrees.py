"""Frozen dataclasses as pytrees whose checks are for those who make them, and not for JAX."""

import dataclasses
from collections.abc import Iterable
from typing import Any, TypeVar

import jax

T = TypeVar("T")


def pytree(cls: type[T]) -> type[T]:
    """Registers a frozen dataclass; fields whose metadata have `static` are no leaves.

    JAX puts other things than arrays in the place of leaves (shapes, places, masks). It makes its
    copies without `__init__`, so that checks of arguments there never see those.
    """
    fields = dataclasses.fields(cls)  # pyright: ignore[reportArgumentType]
    static = [field.name for field in fields if field.metadata.get("static")]
    leaves = [field.name for field in fields if field.name not in static]

    def flatten(one: T) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
        named = [(jax.tree_util.GetAttrKey(name), getattr(one, name)) for name in leaves]
        return named, tuple(getattr(one, name) for name in static)

    def unflatten(constants: tuple[Any, ...], values: Iterable[Any]) -> T:
        one = object.__new__(cls)
        for name, value in zip([*leaves, *static], [*values, *constants], strict=True):
            object.__setattr__(one, name, value)
        return one

    jax.tree_util.register_pytree_with_keys(cls, flatten, unflatten)
    return cls
