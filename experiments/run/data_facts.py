"""What a model is built from: the facts of its training data, without the data themselves.

They are kept with the run, so that it opens again where its data are not.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from remjax.data import Columns, Dataset, ValueFacts, value_facts
from remjax.errors import InputError


class DataFacts(NamedTuple):
    """Of the training rows of a data set.

    Attributes:
        name: of the data set.
        num_train: how many they are.
        values: means, standard deviations and the span of the columns.
        image_shape: as in `Dataset`, and so the others.
        binary: whether all are bits.
        real_valued: whether they are measurements.
        columns: how they were made of a table.
        condition: the same of a condition, which counts in nothing else here.
    """

    name: str
    num_train: int
    values: ValueFacts
    image_shape: tuple[int, int]
    binary: bool
    real_valued: bool
    columns: Columns | None
    condition: Columns | None = None

    @property
    def mean(self) -> np.ndarray:
        """[X], of each column."""
        return self.values.mean

    @property
    def scale(self) -> np.ndarray:
        """[X], the standard deviation of each column."""
        return self.values.scale

    @property
    def size(self) -> int:
        """X."""
        return len(self.mean)

    @property
    def condition_size(self) -> int:
        """Of the condition that stands behind a row."""
        return 0 if self.condition is None else len(self.condition.model_names)

    @property
    def form(self) -> jax.ShapeDtypeStruct:
        """The form of the training rows."""
        return jax.ShapeDtypeStruct((self.num_train, self.size + self.condition_size), jnp.float32)

    def to_json(self) -> dict[str, Any]:
        """As data.json holds them; float32 passes through its decimals unchanged."""
        values = self.values._asdict() | {"mean": self.mean.tolist(), "scale": self.scale.tolist()}
        parts = {"columns": self.columns, "condition": self.condition}
        return (
            self._asdict()
            | {"values": values}
            | {name: part and part._asdict() for name, part in parts.items()}
        )


def facts_of(dataset: Dataset) -> DataFacts:
    """The facts of a data set."""
    return DataFacts(
        name=dataset.name,
        num_train=len(dataset.train),
        values=value_facts(dataset.without_condition(dataset.train)),
        image_shape=dataset.image_shape,
        binary=dataset.binary,
        real_valued=dataset.real_valued,
        columns=dataset.columns,
        condition=dataset.condition,
    )


def facts_from_json(values: Mapping[str, Any]) -> DataFacts:
    """Those that `to_json` wrote.

    Raises:
        InputError: for another content.
    """
    try:
        chosen = {name: values[name] for name in DataFacts._fields if name != "condition"}
        columns, numbers = chosen["columns"], ValueFacts(**chosen["values"])
        condition = values.get("condition")  # runs from before there were any have none
        return DataFacts(**chosen)._replace(
            values=numbers._replace(
                mean=np.asarray(numbers.mean, np.float32),
                scale=np.asarray(numbers.scale, np.float32),
            ),
            image_shape=tuple(chosen["image_shape"]),
            columns=columns and _columns(columns),
            condition=condition and _columns(condition),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"data.json of the run has no {error}: the run is older than this version; train again"
        ) from error


def _columns(values: Mapping[str, Any]) -> Columns:
    columns = Columns(**{name: tuple(value) for name, value in values.items()})
    return columns._replace(categories=tuple(map(tuple, columns.categories)))
