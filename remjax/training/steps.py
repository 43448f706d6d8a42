"""Training: the state that is carried, one step, and compiled runs of many steps.

The data lies on the device, the order of an epoch and the binarisation are drawn inside the
compiled program, and everything random follows from (key, step), so that a run that was interrupted
anywhere goes on to the very same numbers.
"""

from collections.abc import Callable
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Key, PyTree

from remjax.data.binarization import Binarization, unchanged
from remjax.data.orders import Order, shuffled
from remjax.errors import InputError
from remjax.sharding import check_divides, mean_over, replicated
from remjax.types import Batch, Estimator, Metrics, Params

# apply_if_finite gives up and applies a bad update after this many in a row: never.
_NEVER = 2**31 - 1


class TrainState(NamedTuple):
    """Everything a run needs to go on.

    Attributes:
        params: theta, eta (and a baseline's).
        opt_state: optax's state, with the count of skipped updates.
        estimator_state: the estimator's own memory.
        key: of the whole run; never changes.
        step: updates attempted so far.
        metric_sums: sums of the metrics over the steps of the present epoch.
        metric_counts: the number of finite values in each of these sums.
    """

    params: Params
    opt_state: PyTree
    estimator_state: PyTree
    key: Key[Array, ""]
    step: Int[Array, ""]
    metric_sums: Metrics
    metric_counts: Metrics

    @property
    def skipped_updates(self) -> Int[Array, ""]:
        """Updates left out because a gradient was not finite."""
        return self.opt_state.total_notfinite


TrainStep = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def init_train_state(
    estimator: Estimator,
    optimizer: optax.GradientTransformation,
    key: Key[Array, ""],
    data_size: int,
) -> TrainState:
    """The state before the first step.

    Args:
        estimator: what to fit.
        optimizer: optax, over `Params`.
        key: of the whole run.
        data_size: X.
    """
    key_init, key = jax.random.split(key)
    params, estimator_state = estimator.init(key_init)
    batch = Batch(jnp.zeros((1, data_size)), jnp.zeros((1,), int))
    metrics = jax.eval_shape(
        lambda: estimator.estimate(params, estimator_state, key_init, batch)[0].metrics
    )
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), metrics)
    return TrainState(
        params=params,
        opt_state=_skipping(optimizer).init(params),
        estimator_state=estimator_state,
        key=key,
        step=jnp.zeros((), jnp.int32),
        metric_sums=zeros,
        # A donated state must not hold one buffer twice.
        metric_counts=jax.tree.map(jnp.copy, zeros),
    )


def make_train_step(
    estimator: Estimator, optimizer: optax.GradientTransformation, *, mesh: Mesh | None = None
) -> TrainStep:
    """One update of theta and eta, compiled; the state given to it is donated (used up).

    theta moves along the gradient of theta_loss and eta along that of eta_loss. An update whose
    gradient, or its square, is not finite is skipped and counted (`TrainState.skipped_updates`):
    parameters and the estimator's memory stay as they were.

    Args:
        estimator: what to fit.
        optimizer: optax, over `Params`.
        mesh: the devices that share the work (`sharding.make_mesh`); None for one. State and batch
            come as `sharding.replicate` lays them out.

    Returns:
        train_step(state, batch) -> (state, metrics of this batch).

    Raises:
        InputError: from `train_step`, for a batch that the mesh does not divide.
    """
    step = _train_step(estimator, optimizer, mesh)
    return jax.jit(step, donate_argnums=0, out_shardings=replicated(mesh))


def make_epoch(
    estimator: Estimator,
    optimizer: optax.GradientTransformation,
    *,
    num_data: int,
    batch_size: int,
    binarization: Binarization = unchanged,
    order: Order = shuffled,
    mesh: Mesh | None = None,
) -> jax.stages.Wrapped:
    """Many updates in one compiled program: up to a whole epoch, or any part of it.

    Each epoch goes through the data in its order, by default a fresh one; the last
    num_data % batch_size datapoints of that order wait for another epoch. How an epoch is cut into
    calls changes no number.

    Args:
        estimator: what to fit.
        optimizer: optax, over `Params`.
        num_data: N.
        batch_size: B.
        binarization: applied to each batch, inside the program.
        order: of the datapoints in an epoch (`data.orders`).
        mesh: as in `make_train_step`; every device holds all the data.

    Returns:
        run(state, data, num_steps) -> state after so many more steps. The state given to it is
        donated. `metric_sums` start anew with each epoch.

    Raises:
        InputError: for a batch size below one or above the number of datapoints, or one that the
            mesh does not divide; from `run`, for data that are not num_data rows.
    """
    if not 1 <= batch_size <= num_data:
        raise InputError(
            f"batch_size is {batch_size}: give a number from 1 to the {num_data} training examples"
        )
    steps_per_epoch = num_data // batch_size
    train_step = _train_step(estimator, optimizer, mesh)

    def run(state: TrainState, data: Float[Array, "N X"], num_steps: Int[Array, ""]) -> TrainState:
        if data.shape[0] != num_data:
            raise InputError(f"num_data is {num_data} and the data are {data.shape[0]} rows")
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
            x = binarization(key_bits, epoch, state.step, index, data[index])
            return train_step(state, Batch(x, index))[0], places

        start = (state, order_of(state.step // steps_per_epoch))
        return lax.fori_loop(0, num_steps, body, start)[0]

    return jax.jit(run, donate_argnums=0, out_shardings=replicated(mesh))


def metric_means(state: TrainState) -> dict[str, float]:
    """Means of the metrics over the steps of the present epoch; steps without a value left out."""
    sums = {name: float(total) for name, total in state.metric_sums.items()}
    counts = {name: float(count) for name, count in state.metric_counts.items()}
    return {
        name: total / counts[name] if counts[name] else float("nan") for name, total in sums.items()
    }


def _skipping(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    return optax.apply_if_finite(optimizer, max_consecutive_errors=_NEVER)


def _train_step(
    estimator: Estimator, optimizer: optax.GradientTransformation, mesh: Mesh | None
) -> TrainStep:
    optimizer = _skipping(optimizer)

    def differentiate(
        common: tuple[Params, PyTree, Key[Array, ""]], batch: Batch
    ) -> tuple[Params, tuple[Metrics, PyTree]]:
        params, estimator_state, key = common

        def loss(params: Params) -> tuple[Float[Array, ""], tuple[Metrics, PyTree]]:
            estimate, state = estimator.estimate(params, estimator_state, key, batch)
            return estimate.theta_loss + estimate.eta_loss, (estimate.metrics, state)

        # `grad`, not `value_and_grad`: the value is of no use and would cost a pass over the
        # particles that the compiler drops when nobody asks for it.
        return jax.grad(loss, has_aux=True)(params)

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        check_divides(mesh, batch.x.shape[0])
        own_memory = jax.tree.leaves(state.estimator_state) and not estimator.state_of_batch
        if mesh is not None and own_memory:
            raise InputError(
                "an estimator with a memory of its own runs on one device: use no mesh"
            )
        # Offset by one: fold_in(key, 0) names the order and the binarisation of the epochs.
        key = jax.random.fold_in(jax.random.fold_in(state.key, 1), state.step)
        common = (state.params, state.estimator_state, key)
        gradient, (metrics, estimator_state) = mean_over(mesh, differentiate)(common, batch)
        # Squared, it would make Adam's second moments infinite for good, and the part stand still.
        gradient = jax.tree.map(
            lambda leaf: jnp.where(jnp.isfinite(jnp.square(leaf)), leaf, jnp.nan), gradient
        )
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        applied = cast(optax.ApplyIfFiniteState, opt_state).last_finite
        estimator_state = jax.tree.map(
            lambda new, old: jnp.where(applied, new, old),
            estimator_state,
            state.estimator_state,
        )
        finite = jax.tree.map(jnp.isfinite, metrics)
        state = TrainState(
            params=cast(Params, optax.apply_updates(state.params, updates)),
            opt_state=opt_state,
            estimator_state=estimator_state,
            key=state.key,
            step=state.step + 1,
            metric_sums=jax.tree.map(
                lambda total, value, ok: total + jnp.where(ok, value, 0.0),
                state.metric_sums,
                metrics,
                finite,
            ),
            metric_counts=jax.tree.map(jnp.add, state.metric_counts, finite),
        )
        return state, metrics

    return train_step
