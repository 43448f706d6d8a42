"""A fitted model, and what it is for."""

import dataclasses
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree, Shaped

from remjax.data.checks import check_rows
from remjax.errors import InputError
from remjax.evaluation.codes import code
from remjax.evaluation.expectations import make_imputation
from remjax.evaluation.importance_sampling import Evaluation, make_log_likelihood
from remjax.fitting.export import write_export
from remjax.fitting.networks import DefaultNetworks
from remjax.fitting.saved import write_fit
from remjax.types import Datapoint, Model, Params, Recognition

Rows = Shaped[Array, "_ *X"] | Shaped[np.ndarray, "_ *X"]

# What is known of a row, the numbers of a vector [C].
Condition = Sequence[float | int] | Shaped[Array, "..."] | Shaped[np.ndarray, "..."]

# Of one epoch, by name.
Metrics = Mapping[str, float | int]

# Rows that are passed through a network together.
_ROWS = 1000


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Fitted:
    """A model with its recognition network and fitted parameters.

    Attributes:
        model: p_theta(x, z).
        recognition: r_eta(z | x).
        params: theta and eta.
        networks: the value that the two were made from; None for a user's own.
        row_shape: of one row as the user gave it: (X,) or (H, W).
        history: one mapping for each epoch: `epoch`, `seconds`, the means of the metrics
            (log_evidence in nats, ess, ...), and valid_log_likelihood where rows are held out;
            a metric that was not finite is left out once it has been saved.
    """

    model: Model
    recognition: Recognition
    params: Params
    networks: DefaultNetworks | None
    row_shape: tuple[int, ...]
    history: tuple[Metrics, ...]

    def __str__(self) -> str:
        """One line: how long it was fitted and how well."""
        if not self.history:
            return "not fitted yet"
        last = self.history[-1]
        figure = "valid_log_likelihood" if "valid_log_likelihood" in last else "log_evidence"
        text = f"{len(self.history)} epochs, {figure} {last[figure]:.2f} nats"
        return text if self.networks is None else f"{text}; {self.networks}"

    def __repr__(self) -> str:
        """The same line: the parameters would fill pages."""
        return f"<{type(self).__name__}: {self}>"

    def column(self, name: str) -> np.ndarray:
        """One metric over the epochs, NaN where an epoch has none: for a plot."""
        return np.array([epoch.get(name, np.nan) for epoch in self.history], float)

    def encode(self, x: Rows, *, seed: int = 0) -> PyTree[np.ndarray]:
        """E_r[z | x] of each row: [N, D], or a tuple of such for several layers.

        Of relaxed bits it is that of the bits. Where it has no closed form, it is the average of
        100 unbiased estimates (`evaluation.code`).

        Args:
            x: [N, *X].
            seed: of the estimates, where the mean has no closed form.

        Raises:
            InputError: for rows that the model has no density for, as the others.
        """
        return self._over_rows(
            lambda x, key: code(self.recognition.r(self.params.eta, x), key), x, seed
        )

    def reconstruct(self, x: Rows, *, seed: int = 0) -> np.ndarray:
        """E[x | z] at the code of each row, [N, *X]; of a conditional model without its condition.

        Args:
            x: [N, *X].
            seed: of the code, where that has no closed form (`encode`).

        Raises:
            InputError: as `encode`, and for a model without a mean.
        """
        self._require_mean()

        def one(x: Datapoint, key: Array) -> Array:
            z = code(self.recognition.r(self.params.eta, x), key)
            return _mean_of(self.model.at(x), self.params.theta, z)

        return self._as_given(self._over_rows(one, x, seed))

    def sample(
        self,
        num_samples: int,
        *,
        seed: int = 0,
        noise: bool = True,
        condition: Condition | None = None,
    ) -> np.ndarray:
        """Rows drawn from the model, [num_samples, *X].

        Args:
            num_samples: how many.
            seed: of the draws.
            noise: whether x is drawn given its latent; otherwise it is the mean E[x | z].
            condition: c [C] of all rows, for a model that has one.

        Raises:
            InputError: no positive number; a condition that is missing, or of another size.
        """
        if num_samples < 1:
            raise InputError(f"num_samples is {num_samples}: give a positive number")
        model = self._given(condition)
        if not noise:
            self._require_mean()

        def one(key: Array) -> Datapoint:
            z, x = model.sample(self.params.theta, key)
            return x if noise else _mean_of(model, self.params.theta, z)

        keys = jax.random.split(jax.random.key(seed), num_samples)
        drawn = jax.jit(lambda keys: jax.lax.map(one, keys, batch_size=min(_ROWS, num_samples)))
        return self._as_given(np.asarray(drawn(keys)))

    def log_likelihood(self, x: Rows, *, num_particles: int = 1000, seed: int = 0) -> Evaluation:
        """L_K of each row, nats, with its diagnostics (`make_log_likelihood`)."""
        evaluate = make_log_likelihood(self.model, self.recognition, num_particles=num_particles)
        return evaluate(self.params, jax.random.key(seed), self._rows(x))

    def impute(self, x: Rows, *, num_particles: int = 1000, seed: int = 0) -> np.ndarray:
        """The rows, with what is missing (NaN) as its expectation (`make_imputation`)."""
        impute = make_imputation(self.model, self.recognition, num_particles=num_particles)
        return self._as_given(impute(self.params, jax.random.key(seed), self._rows(x)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Keep it in a new folder, from which `remjax.load` brings it back.

        Parameters and history are kept, and what the default networks are made of; of a user's own
        networks, which are functions, nothing: `load` takes them again.

        Raises:
            InputError: the folder holds something already, or cannot be written.
        """
        write_fit(
            path,
            self.params,
            {
                "networks": self.networks and self.networks.to_json(),
                "row_shape": self.row_shape,
                "history": [
                    {name: value for name, value in epoch.items() if math.isfinite(value)}
                    for epoch in self.history
                ],
            },
        )

    def export(self, path: str | os.PathLike[str]) -> None:
        """Decoder and encoder as programs that load without this library (`write_export`).

        Args:
            path: a new folder.

        Raises:
            InputError: as `write_export`.
        """
        write_export(
            path,
            self.model,
            self.recognition,
            self.params,
            math.prod(self.row_shape),
            {"row_shape": self.row_shape},
        )

    def _given(self, condition: Condition | None) -> Model:
        """The model of x alone, at a condition where it has one."""
        size = self.model.support.condition
        if (condition is None) != (size == 0):
            mend = f"give one of {size} numbers" if size else "leave it out"
            raise InputError(f"the model has {'a' if size else 'no'} condition: {mend}")
        if self.model.conditional is None:
            return self.model
        given = np.asarray(condition, np.float32)
        if given.shape != (size,) or not np.isfinite(given).all():
            raise InputError(
                f"a condition of shape {given.shape}: give {size} finite numbers, [{size}]"
            )
        return self.model.conditional.given(jnp.asarray(given))

    def _require_mean(self) -> None:
        # Without conditions too: `at` looks at the end of x alone.
        if self.model.at(jnp.zeros(self.model.support.condition)).mean is None:
            raise InputError("the model has no mean E[x | z], which this needs: give it one")

    def _rows(self, x: Rows) -> np.ndarray:
        """[N, X] as the model takes them."""
        rows = rows_of(x)
        check_rows(rows, self.model.support)
        return rows

    def _as_given(self, x: np.ndarray) -> np.ndarray:
        """[N, *X] in the shape of the user's rows; without the condition these had, [N, X]."""
        if self.model.conditional is not None:
            return x
        return x.reshape(len(x), *self.row_shape)

    def _over_rows(
        self, function: Callable[[Datapoint, Array], Any], x: Rows, seed: int
    ) -> PyTree[np.ndarray]:
        rows = self._rows(x)
        if not len(rows):
            raise InputError("there are no rows: give at least one")
        mapped = jax.jit(jax.vmap(function))
        keys = jax.random.split(jax.random.key(seed), len(rows))
        parts: Sequence[Any] = [
            mapped(jnp.asarray(rows[start : start + _ROWS]), keys[start : start + _ROWS])
            for start in range(0, len(rows), _ROWS)
        ]
        return jax.tree.map(lambda *blocks: np.concatenate(blocks), *parts)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Fit(Fitted):
    """What `fit` returns: a fitted model that can go on.

    Attributes:
        go_on: (fit, epochs) -> the fit after so many more epochs.
        state: of the training (`TrainState`); None where the parameters are the best of an earlier
            epoch.
    """

    go_on: Callable[["Fit", int], "Fit"]
    state: Any

    def more(self, epochs: int) -> "Fit":
        """The fit after more epochs, as if they had been asked for at once; this one stays."""
        return self.go_on(self, epochs)


def _mean_of(model: Model, theta: PyTree, z: PyTree) -> Datapoint:
    assert model.mean is not None  # as `_require_mean` has found
    return model.mean(theta, z)


def rows_of(x: Rows) -> np.ndarray:
    """[N, *X] as rows [N, X], in float32 where they are floats of another size.

    Raises:
        InputError: for what is no array of rows.
    """
    rows = np.asarray(x)
    if rows.ndim < 2 or not rows.size:
        raise InputError(f"x has the shape {rows.shape}: give rows [N, X], or images [N, H, W]")
    if rows.dtype == np.float64:
        rows = rows.astype(np.float32)
    return rows.reshape(len(rows), -1)
