"""The methods' knobs as settings of a run: a flag for each, which only the methods with it take.

None means that the flag was not given, and the method's own default holds.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from experiments.run.choices import look_up
from experiments.run.fields import Checked
from experiments.run.methods import METHODS, accepts, knobs

_KNOBS = knobs()
_KEEPING = ", ".join(name for name in METHODS if accepts(name, "keep"))


class _ByName(Checked):
    """Options by name, some of which stand for a value in a table."""

    def __post_init__(self) -> None:
        """Refuse names that are in no table."""
        super().__post_init__()
        for name, value, table in self._given():
            if table is not None:
                look_up(table, name, value)

    def _given(self) -> list[tuple[str, Any, Mapping[str, Any] | None]]:
        """(name, value, table) of the options that were given."""
        return [
            (field.name, getattr(self, field.name), field.metadata["table"])
            for field in dataclasses.fields(MethodOptions)
            if getattr(self, field.name) is not None
        ]

    def for_estimator(self) -> dict[str, Any]:
        """The options that were given, as the methods take them."""
        return {
            name: value if table is None else table[value] for name, value, table in self._given()
        }


def _option(meaning: str, table: Mapping[str, Any] | None = None) -> Any:
    return dataclasses.field(default=None, metadata={"meaning": meaning, "table": table})


MethodOptions = dataclasses.make_dataclass(
    "MethodOptions",
    [
        (
            "keep",
            int | None,
            _option(
                "M, particles per image that carry the gradient: 4 is a good value (default all, "
                f"exactly); for {_KEEPING}"
            ),
        ),
        (
            "chunk_size",
            int | None,
            _option("particles per image in memory at a time (default by the batch size)"),
        ),
        *(
            (name, knob.kind | None, _option(knob.meaning, knob.table))
            for name, knob in _KNOBS.items()
        ),
    ],
    bases=(_ByName,),
    frozen=True,
    kw_only=True,
)
"""The options of particles, and a field for each knob of a method."""

NAMES = frozenset(field.name for field in dataclasses.fields(MethodOptions))


def applies(setting: str, method: str) -> bool:
    """Whether a setting means something for the method; those that are no option do for all."""
    return setting not in NAMES or accepts(method, setting)
