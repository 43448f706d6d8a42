"""Compiled runs of many steps, on data that lie on the device.

The order of an epoch and the binarisation are drawn inside the compiled program. What reaches it is
checked once, on the host, when the data are first seen.
"""

import weakref
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Int, Shaped

from remjax.data.binarization import Binarization, leaving_the_end, unchanged
from remjax.data.checks import check_rows
from remjax.data.orders import Order, shuffled
from remjax.errors import InputError
from remjax.sharding import replicated
from remjax.training.steps import TrainState, uncompiled_train_step
from remjax.types import Batch, Estimator, Support

Rows = Shaped[Array, "N *X"] | Shaped[np.ndarray, "N *X"]


class Epochs:
    """run(state, data, num_steps) -> the state after so many more steps, as `make_epoch` makes it.

    Attributes:
        compiled: the jitted function, for use within another; it checks nothing.
    """

    def __init__(self, compiled: jax.stages.Wrapped, num_data: int, support: Support) -> None:
        self.compiled = compiled
        self._num_data, self._support = num_data, support
        self._checked: weakref.ref | None = None

    def __call__(self, state: TrainState, data: Rows, num_steps: int) -> TrainState:
        """The state after so many more steps; the one given is used up."""
        self.check(data)
        return self.compiled(state, data, num_steps)

    def lower(self, state: TrainState, data: Rows, num_steps: int) -> jax.stages.Lowered:
        """What JAX's ahead-of-time compilation begins with."""
        self.check(data)
        return self.compiled.lower(state, data, num_steps)

    def of(self, compiled: jax.stages.Wrapped) -> "Epochs":
        """Another compiled function of the same data, which are checked alike."""
        return Epochs(compiled, self._num_data, self._support)

    def check(self, data: Rows) -> None:
        """Once for the same array: as many rows as there should be, values that the model takes.

        Raises:
            InputError: naming the row.
        """
        if self._checked is not None and self._checked() is data:
            return
        if data.shape[0] != self._num_data:
            raise InputError(f"num_data is {self._num_data} and the data are {data.shape[0]} rows")
        local: Any = data
        if isinstance(data, jax.Array) and not data.is_fully_addressable:
            local = data.addressable_data(0)
        check_rows(np.asarray(local), self._support)
        self._checked = weakref.ref(data)


def make_epoch(
    estimator: Estimator,
    optimizer: optax.GradientTransformation,
    *,
    num_data: int,
    batch_size: int,
    binarization: Binarization = unchanged,
    order: Order = shuffled,
    mesh: Mesh | None = None,
) -> Epochs:
    """Many updates in one compiled program: up to a whole epoch, or any part of it.

    Each epoch goes through the data in its order, by default a fresh one; the last
    num_data % batch_size datapoints of that order wait for another epoch. How an epoch is cut into
    calls changes no number.

    Args:
        estimator: what to fit.
        optimizer: optax, over `Params`.
        num_data: N.
        batch_size: B.
        binarization: applied to each batch, inside the program; a condition stays as it is.
        order: of the datapoints in an epoch (`data.orders`).
        mesh: as in `make_train_step`; every device holds all the data.

    Returns:
        run(state, data, num_steps) -> state after so many more steps. The state given to it is
        donated. `metric_sums` start anew with each epoch.

    Raises:
        InputError: for a batch size below one or above the number of datapoints, or one that the
            mesh does not divide; from `run`, for data that are not num_data rows of values that the
            model has a density for.
    """
    if not 1 <= batch_size <= num_data:
        raise InputError(
            f"batch_size is {batch_size}: give a number from 1 to the {num_data} training examples"
        )
    steps_per_epoch = num_data // batch_size
    of_x = leaving_the_end(binarization, estimator.support.condition)
    train_step = uncompiled_train_step(estimator, optimizer, mesh)

    def run(state: TrainState, data: Rows, num_steps: Int[Array, ""]) -> TrainState:
        key_order, key_bits = jax.random.split(jax.random.fold_in(state.key, 0))

        def order_of(epoch: Int[Array, ""]) -> Int[Array, " N"]:
            return order(key_order, epoch, num_data)

        def body(
            _: Int[Array, ""], carry: tuple[TrainState, Int[Array, " N"]]
        ) -> tuple[TrainState, Int[Array, " N"]]:
            state, places = carry
            epoch, place = jnp.divmod(state.step, steps_per_epoch)
            places = lax.cond(place == 0, lambda: order_of(epoch), lambda: places)
            sums, counts = jax.tree.map(
                lambda total: jnp.where(place == 0, 0.0, total),
                (state.metric_sums, state.metric_counts),
            )
            state = state._replace(metric_sums=sums, metric_counts=counts)
            index = lax.dynamic_slice_in_dim(places, place * batch_size, batch_size)
            x = of_x(key_bits, epoch, state.step, index, data[index])
            return train_step(state, Batch(x, index))[0], places

        start = (state, order_of(state.step // steps_per_epoch))
        return lax.fori_loop(0, num_steps, body, start)[0]

    compiled = jax.jit(run, donate_argnums=0, out_shardings=replicated(mesh))
    # What is binarised inside the program are probabilities when it comes.
    support = estimator.support._replace(
        whole=estimator.support.whole and binarization is unchanged
    )
    return Epochs(compiled, num_data, support)
