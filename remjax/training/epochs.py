"""Compiled runs of many steps, on data that lie on the device.

The order of an epoch and the binarisation are drawn inside the compiled program, the order once in
an epoch: a million rows take longer to sort than many updates of them. What reaches the program is
checked once, on the host, when the data are first seen.
"""

import copy
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Int, Key, Shaped

from remjax.data.binarization import Binarization, leaving_the_end, unchanged
from remjax.data.checks import check_rows
from remjax.data.orders import Order, shuffled
from remjax.errors import InputError
from remjax.sharding import replicate, replicated
from remjax.training.steps import TrainState, uncompiled_train_step
from remjax.types import Batch, Estimator, Support

Rows = Shaped[Array, "N *X"] | Shaped[np.ndarray, "N *X"]


class EpochOrder(NamedTuple):
    """The order that was last gone through, and whose it is.

    Attributes:
        key: of the run, [R] of replicas.
        epoch: -1 for none yet.
        places: [N], [R, N] of replicas.
    """

    key: Key[Array, "*R"]
    epoch: Int[Array, ""]
    places: Int[Array, "*R N"]


Steps = Callable[..., tuple[TrainState, Int[Array, "*R N"]]]
"""(state, data, number, places, whether they are those of the state's epoch) -> state, places."""


class Epochs:
    """run(state, data, num_steps) -> the state after so many more steps, as `make_epoch` makes it.

    The order of the present epoch is kept from call to call. Whether it is that of the state is
    asked inside the program, by the run's key and the number of the epoch; of another state it is
    made anew.

    Attributes:
        steps: what is compiled, without the question about the order; for use within another.
        program: the compiled (state, data, num_steps, order) -> (state, order); it checks nothing.
        steps_per_epoch: N over B.
        mesh: the devices that share the work.
    """

    def __init__(
        self,
        steps: Steps,
        *,
        num_data: int,
        batch_size: int,
        support: Support,
        mesh: Mesh | None = None,
    ) -> None:
        self.steps, self.steps_per_epoch, self.mesh = steps, num_data // batch_size, mesh
        self.program = jax.jit(self._run, donate_argnums=0, out_shardings=replicated(mesh))
        self._num_data, self._batch_size, self._support = num_data, batch_size, support
        self._order: EpochOrder | None = None
        self._checked: weakref.ref | None = None

    def __call__(self, state: TrainState, data: Rows, num_steps: int) -> TrainState:
        """The state after so many more steps; the one given is used up."""
        self.check(data)
        order = self._order_to_begin_with(state)
        state, self._order = self.program(state, data, num_steps, order)
        return state

    def compile(self, state: TrainState, data: Rows) -> "Epochs":
        """The same, compiled now for states and data of these forms, and for no others."""
        self.check(data)
        ahead = copy.copy(self)
        order = self._order_to_begin_with(state)
        ahead.program = self.program.lower(state, data, 1, order).compile()
        return ahead

    def of(self, steps: Steps) -> "Epochs":
        """Other steps on the same data, which are checked alike."""
        return Epochs(
            steps,
            num_data=self._num_data,
            batch_size=self._batch_size,
            support=self._support,
            mesh=self.mesh,
        )

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

    def _run(
        self, state: TrainState, data: Rows, num_steps: Int[Array, ""], order: EpochOrder
    ) -> tuple[TrainState, EpochOrder]:
        epoch = state.step // self.steps_per_epoch
        known = jnp.all(order.key == state.key) & (order.epoch == epoch)
        after, places = self.steps(state, data, num_steps, order.places, known)
        reached = (after.step - 1) // self.steps_per_epoch
        # Of no step at all, the places are still those of whatever was gone through before.
        reached = jnp.where(num_steps > 0, reached, -1)
        return after, EpochOrder(state.key, reached, places)

    def _order_to_begin_with(self, state: TrainState) -> EpochOrder:
        """The order of the last call, or that of no epoch."""
        key, last = state.key, self._order
        if last is not None and (last.key.shape, last.key.dtype) == (key.shape, key.dtype):
            return last
        form = (*jax.random.key_data(key).shape[:-1], self._num_data)
        none = replicate(self.mesh, (jnp.int32(-1), jnp.zeros(form, int)))
        return EpochOrder(jnp.copy(key), *none)  # a copy: the state will be donated


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

    def steps(
        state: TrainState,
        data: Rows,
        num_steps: Int[Array, ""],
        places: Int[Array, " N"],
        known: Bool[Array, ""],
    ) -> tuple[TrainState, Int[Array, " N"]]:
        key_order, key_bits = jax.random.split(jax.random.fold_in(state.key, 0))
        begun = state.step

        def body(
            _: Int[Array, ""], carry: tuple[TrainState, Int[Array, " N"]]
        ) -> tuple[TrainState, Int[Array, " N"]]:
            state, places = carry
            epoch, place = jnp.divmod(state.step, steps_per_epoch)
            places = lax.cond(
                (place == 0) | (state.step == begun) & ~known,
                lambda: order(key_order, epoch, num_data).astype(places.dtype),
                lambda: places,
            )
            sums, counts = jax.tree.map(
                lambda total: jnp.where(place == 0, 0.0, total),
                (state.metric_sums, state.metric_counts),
            )
            state = state._replace(metric_sums=sums, metric_counts=counts)
            index = lax.dynamic_slice_in_dim(places, place * batch_size, batch_size)
            x = of_x(key_bits, epoch, state.step, index, data[index])
            return train_step(state, Batch(x, index))[0], places

        return lax.fori_loop(0, num_steps, body, (state, places))

    # What is binarised inside the program are probabilities when it comes.
    support = estimator.support._replace(
        whole=estimator.support.whole and binarization is unchanged
    )
    return Epochs(steps, num_data=num_data, batch_size=batch_size, support=support, mesh=mesh)
