"""Frozen dataclasses as pytrees that JAX may rebuild of anything."""

import dataclasses
from typing import Any, TypeVar

import jax

C = TypeVar("C")


def frozen_pytree(cls: type[C]) -> type[C]:
    """Register a frozen dataclass: its fields are subtrees, those with metadata `static` are not.

    Unlike `jax.tree_util.register_dataclass` it rebuilds values without `__init__`, so that only
    what a user makes is checked there: transformations put many machines, shapes, NumPy arrays or
    None in the place of an array.
    """
    fields = dataclasses.fields(cls)  # pyright: ignore[reportArgumentType]
    leaves = [field.name for field in fields if not field.metadata.get("static")]
    fixed = [field.name for field in fields if field.metadata.get("static")]

    def flatten(one: C) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
        children = [(jax.tree_util.GetAttrKey(name), getattr(one, name)) for name in leaves]
        return children, tuple(getattr(one, name) for name in fixed)

    def rebuild(aside: tuple[Any, ...], children: Any) -> C:
        one = object.__new__(cls)
        for name, value in zip([*fixed, *leaves], [*aside, *children], strict=True):
            object.__setattr__(one, name, value)
        return one

    jax.tree_util.register_pytree_with_keys(cls, flatten, rebuild)
    return cls
