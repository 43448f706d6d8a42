"""Training: the state that is carried, and one step.

Everything random follows from (key, step), so that a run that was interrupted anywhere goes on to
the very same numbers.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from remjax import statistics
from remjax.errors import InputError
from remjax.sharding import check_divides, mean_over, replicated
from remjax.training.memory import gather, init_rows, scatter
from remjax.training.skipping import skip_nonfinite
from remjax.types import Batch, Estimate, Estimator, Metrics, Params


@runtime_checkable
class Data(Protocol):
    """An array of datapoints, on the host or on the device, or its form alone."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, *X)."""
        ...

    @property
    def dtype(self) -> Any:
        """Of its numbers."""
        ...


class TrainState(NamedTuple):
    """Everything a run needs to go on.

    A step uses up the state that it is given, arrays of your own that you put into it by `_replace`
    among them: put copies there (`jax.tree.map(jnp.copy, params)`) where you want to keep them.

    Attributes:
        params: theta, eta (and a baseline's).
        opt_state: optax's state, with the count of skipped updates.
        estimator_state: the estimator's own memory.
        key: of the whole run; never changes.
        step: updates attempted so far.
        metric_sums: sums of the metrics over the steps of the present epoch.
        metric_counts: the number of finite values in each of these sums.
        memory: what is remembered of each datapoint, a row each (`training.memory`); () for none.
    """

    params: Params
    opt_state: PyTree
    estimator_state: PyTree
    key: Key[Array, ""]
    step: Int[Array, ""]
    metric_sums: Metrics
    metric_counts: Metrics
    memory: PyTree[Array] = ()

    @property
    def skipped_updates(self) -> Int[Array, ""]:
        """Updates left out because a gradient was not finite."""
        return self.opt_state.total_notfinite


TrainStep = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def init_train_state(
    estimator: Estimator,
    optimizer: optax.GradientTransformation,
    key: Key[Array, ""],
    data: Data,
) -> TrainState:
    """The state before the first step. It shares no memory with anything that the caller has.

    Args:
        estimator: what to fit.
        optimizer: optax, over `Params`.
        key: of the whole run.
        data: what will be trained on, [N, X] for vectors; only the form of an example, and for a
            memory per datapoint their number, are used. A `jax.ShapeDtypeStruct` serves too.
    """
    key_init, key = jax.random.split(key)
    params, estimator_state = estimator.init(key_init)
    # The state will be donated, and an `init` may return what somebody else owns: a warm start.
    params, estimator_state = jax.tree.map(jnp.copy, (params, estimator_state))
    num_data, *shape = data.shape
    memory = init_rows(estimator.memory, jax.random.fold_in(key_init, 1), num_data)
    place = jnp.zeros((1,), int)
    rows = () if estimator.memory is None else gather(estimator.memory, memory, place)
    batch = Batch(jnp.zeros((1, *shape), jax.dtypes.canonicalize_dtype(data.dtype)), place, rows)
    # The function itself, whose trace JAX keeps: whoever asked the same before has paid for it.
    form, _ = jax.eval_shape(estimator.estimate, params, estimator_state, key_init, batch)
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), form.metrics)
    return TrainState(
        params=params,
        opt_state=skip_nonfinite(optimizer).init(params),
        estimator_state=estimator_state,
        key=key,
        step=jnp.zeros((), jnp.int32),
        metric_sums=zeros,
        # A donated state must not hold one buffer twice.
        metric_counts=jax.tree.map(jnp.copy, zeros),
        memory=memory,
    )


def make_train_step(
    estimator: Estimator, optimizer: optax.GradientTransformation, *, mesh: Mesh | None = None
) -> TrainStep:
    """One update of theta and eta, compiled; the state given to it is donated (used up).

    theta moves along the gradient of theta_loss and eta along that of eta_loss. An update whose
    gradient, or its square, is not finite is skipped and counted (`TrainState.skipped_updates`):
    parameters, the estimator's state and the memories of the batch stay as they were.

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
    step = uncompiled_train_step(estimator, optimizer, mesh)
    return jax.jit(step, donate_argnums=0, out_shardings=replicated(mesh))


def metric_means(state: TrainState) -> dict[str, float]:
    """Means of the metrics over the steps of the present epoch; steps without a value left out.

    Returns:
        The means, and `skipped_updates`: how many updates of the whole run were left out because a
        gradient was not finite. Where they are many, the means are those of the few that were not.
    """
    sums = {name: float(total) for name, total in state.metric_sums.items()}
    counts = {name: float(count) for name, count in state.metric_counts.items()}
    means = {
        name: total / counts[name] if counts[name] else float("nan") for name, total in sums.items()
    }
    return means | {"skipped_updates": float(state.skipped_updates)}


def uncompiled_train_step(
    estimator: Estimator, optimizer: optax.GradientTransformation, mesh: Mesh | None
) -> TrainStep:
    """What `make_train_step` compiles."""
    optimizer = skip_nonfinite(optimizer)
    gradient_of_batch = mean_over(mesh, _differentiate(estimator))

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        check_divides(mesh, batch.x.shape[0])
        own_state = jax.tree.leaves(state.estimator_state) and not estimator.state_of_batch
        if mesh is not None and own_state:
            raise InputError("an estimator with a state of its own runs on one device: use no mesh")
        if estimator.memory is not None:
            rows = gather(estimator.memory, state.memory, batch.index)
            batch = batch._replace(memory=rows)
        # Offset by one: fold_in(key, 0) names the order and the binarisation of the epochs.
        key = jax.random.fold_in(jax.random.fold_in(state.key, 1), state.step)
        common = (state.params, state.estimator_state, key)
        means, memory = gradient_of_batch(common, batch)
        gradient, metrics, estimator_state, seen = means
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        applied = cast(optax.ApplyIfFiniteState, opt_state).last_finite
        estimator_state, seen = _where(
            applied,
            (estimator_state, seen),
            (state.estimator_state, statistics.leaves_of(state.params, seen)),
        )
        params = cast(Params, optax.apply_updates(state.params, updates))
        return _counted(state, metrics)._replace(
            params=statistics.replaced(params, seen),
            opt_state=opt_state,
            estimator_state=estimator_state,
            step=state.step + 1,
            memory=scatter(state.memory, batch.index, memory, applied),
        ), metrics

    return train_step


def _differentiate(estimator: Estimator) -> Callable[..., Any]:
    """((params, state, key), batch) -> (gradient, metrics, new state, statistics), memories."""

    def differentiate(
        common: tuple[Params, PyTree, Key[Array, ""]], batch: Batch
    ) -> tuple[tuple[Params, Metrics, PyTree, dict[int, Array]], PyTree[Array]]:
        params, estimator_state, key = common

        def loss(params: Params) -> tuple[Float[Array, ""], tuple[Estimate, PyTree]]:
            estimate, state = estimator.estimate(params, estimator_state, key, batch)
            _check_memory(estimate.memory, batch.memory)
            return estimate.theta_loss + estimate.eta_loss, (estimate, state)

        # `grad`, not `value_and_grad`: the value is of no use and would cost a pass over the
        # particles that the compiler drops when nobody asks for it.
        gradient, (estimate, state) = jax.grad(loss, has_aux=True)(params)
        return (gradient, estimate.metrics, state, estimate.statistics), estimate.memory

    return differentiate


def _check_memory(after: PyTree[Array], before: PyTree[Array]) -> None:
    """Raise InputError where an estimate does not say what became of the memories."""
    if jax.tree.structure(after) != jax.tree.structure(before):
        raise InputError(
            "the estimator has a memory per datapoint and its estimate does not return it as it "
            "was given: put the memory of the terms into Estimate.memory"
        )


def _counted(state: TrainState, metrics: Metrics) -> TrainState:
    """The state, the finite ones of these metrics added to its sums."""
    finite = jax.tree.map(jnp.isfinite, metrics)
    sums = jax.tree.map(
        lambda total, value, ok: total + jnp.where(ok, value, 0.0),
        state.metric_sums,
        metrics,
        finite,
    )
    counts = jax.tree.map(jnp.add, state.metric_counts, finite)
    return state._replace(metric_sums=sums, metric_counts=counts)


def _where(condition: Bool[Array, ""], new: PyTree, old: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
