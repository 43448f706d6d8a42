"""What a model is built from: the facts of its training data, without the data themselves.

They are kept with the run, so that it opens again where its data are not.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from remjax.data import Columns, Dataset
from remjax.errors import InputError


class DataFacts(NamedTuple):
    """Of the training rows of a data set.

    Attributes:
        name: of the data set.
        num_train: how many they are.
        mean: of each column [X] float32, of the values that are not missing.
        scale: the standard deviation of each column [X] float32.
        low: the smallest value.
        high: the largest value.
        whole: whether all values are whole numbers.
        image_shape: as in `Dataset`, and so the others.
        binary: whether all are bits.
        real_valued: whether they are measurements.
        columns: how they were made of a table.
    """

    name: str
    num_train: int
    mean: np.ndarray
    scale: np.ndarray
    low: float
    high: float
    whole: bool
    image_shape: tuple[int, int]
    binary: bool
    real_valued: bool
    columns: Columns | None

    @property
    def size(self) -> int:
        """X."""
        return len(self.mean)

    @property
    def form(self) -> jax.ShapeDtypeStruct:
        """The form of the training rows."""
        return jax.ShapeDtypeStruct((self.num_train, self.size), jnp.float32)

    def to_json(self) -> dict[str, Any]:
        """As data.json holds them; float32 passes through its decimals unchanged."""
        arrays = {name: getattr(self, name).tolist() for name in ("mean", "scale")}
        columns = self.columns and self.columns._asdict()
        return self._asdict() | arrays | {"columns": columns}


def facts_of(dataset: Dataset) -> DataFacts:
    """The facts of a data set."""
    train = dataset.train
    return DataFacts(
        name=dataset.name,
        num_train=len(train),
        mean=np.nanmean(train, axis=0, dtype=np.float64).astype(np.float32),
        scale=np.nanstd(train, axis=0, dtype=np.float64).astype(np.float32),
        low=float(np.nanmin(train)),
        high=float(np.nanmax(train)),
        whole=not np.any(train % 1 > 0),
        image_shape=dataset.image_shape,
        binary=dataset.binary,
        real_valued=dataset.real_valued,
        columns=dataset.columns,
    )


def facts_from_json(values: Mapping[str, Any]) -> DataFacts:
    """Those that `to_json` wrote.

    Raises:
        InputError: for another content.
    """
    try:
        chosen = {name: values[name] for name in DataFacts._fields}
        columns = chosen["columns"]
        return DataFacts(**chosen)._replace(
            mean=np.asarray(chosen["mean"], np.float32),
            scale=np.asarray(chosen["scale"], np.float32),
            image_shape=tuple(chosen["image_shape"]),
            columns=columns and _columns(columns),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"data.json of the run has no {error}: the run is older than this version; train again"
        ) from error


def _columns(values: Mapping[str, Any]) -> Columns:
    columns = Columns(**{name: tuple(value) for name, value in values.items()})
    return columns._replace(categories=tuple(map(tuple, columns.categories)))
