"""The mean over a batch, some datapoints after the others, and its gradient in the same pass.

Where all particles of a datapoint fit into one chunk, they are scored once: their gradient is taken
while they are still in the cache, and not in a second pass that has to score them again.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import CustomVJPPrimal, SymbolicZero
from jaxtyping import Array, Float, Key, PyTree

from remjax.types import Batch, Metrics, Params


class Terms(NamedTuple):
    """What a batch contributes, one of each per datapoint [B]; `combine` makes two losses of them.

    Attributes:
        theta: what theta ascends; as many sums as the objective's summand has leaves.
        eta: what eta ascends, likewise.
        metrics: log_evidence, ess, hyper_ess and scored, as in `method.make_estimator`.
        memory: of each datapoint after this visit; () for none.
        statistics: the batch statistics, one of each for the whole batch (`types.Estimate`).
    """

    theta: PyTree[Float[Array, "*B"]]
    eta: PyTree[Float[Array, "*B"]]
    metrics: Metrics
    memory: PyTree[Array] = ()
    statistics: dict[int, Array] = {}  # noqa: RUF012

    def map(self, function: Callable[[Array], Array]) -> "Terms":
        """The terms with this of theta's, eta's and the metrics; the rest as it is."""
        theta, eta, metrics = jax.tree.map(function, self[:3])
        return self._replace(theta=theta, eta=eta, metrics=metrics)


# Decoder passes in flight. On a CPU those that carry the gradient leave their logits in memory:
# enough rows to fill a matrix product, few enough to stay in the cache. Those that are only scored
# leave nothing but sums, and what counts is the work around each chunk. An accelerator starts
# nothing small for free; 8,192 rows of 784 logits are 26 MB, half the cache of a large one.
_ROWS_WITH_GRADIENT, _ROWS_SCORED, _ROWS_ON_ACCELERATOR = 1000, 4000, 8192
_LOGITS, _FEWEST_ROWS = 784, 500

TermsOfBatch = Callable[[Params, Key[Array, ""], Batch], Terms]


def rows_in_flight(keep: int | None, data_size: int) -> int:
    """How many particles, over all datapoints, are in memory at a time: more with keep=M.

    With keep=None each takes its gradient along. Of data larger than 784 there are fewer.

    Args:
        keep: as in `row.Particles`.
        data_size: X.
    """
    on_cpu = jax.default_backend() == "cpu"
    if on_cpu and keep is None:
        return _ROWS_WITH_GRADIENT
    rows = _ROWS_SCORED if on_cpu else _ROWS_ON_ACCELERATOR
    return max(_FEWEST_ROWS, rows * _LOGITS // max(data_size, _LOGITS))


def largest_divisor(batch_size: int, most: int) -> int:
    """The largest divisor of the batch size that is not above `most`, and at least 1."""
    sizes = range(max(1, min(most, batch_size)), 0, -1)
    return next(size for size in sizes if batch_size % size == 0)


def batch_mean(
    terms: TermsOfBatch, params: Params, key: Key[Array, ""], batch: Batch, size: int
) -> Terms:
    """The means of the terms over a batch, computed for `size` datapoints at a time.

    Args:
        terms: of any part of the batch; theta and eta one number per datapoint.
        params: carry the gradient, which is taken along with the values.
        key: the same for all parts: a datapoint's place in the data set names its particles.
        batch: B datapoints. An x of floats carries a gradient too, at the cost of another pass.
        size: a divisor of B.

    Returns:
        The means; memories and statistics as the terms have them. The metrics carry no gradient.
    """

    def mean(params: Params, key: Key[Array, ""], part: Batch) -> Terms:
        return terms(params, key, part).map(jnp.mean)

    if batch.x.shape[0] == size:
        return mean(params, key, batch)
    return _mean_in_parts(mean, size)(params, key, batch)


def _mean_in_parts(mean: TermsOfBatch, size: int) -> TermsOfBatch:
    """`mean` of every part of a batch, averaged; its gradient is taken part by part, forward."""

    @jax.custom_vjp
    def whole(params: Params, key: Key[Array, ""], batch: Batch) -> Terms:
        return _over_parts(lambda part: (mean(params, key, part), ()), batch, size)[0]

    def forward(params: Any, key: Any, batch: Any) -> tuple[Terms, Any]:
        # Every array comes as a CustomVJPPrimal, which knows whether a gradient is asked for.
        of_x = batch.x.perturbed
        params, key, batch = jax.tree.map(
            lambda leaf: leaf.value,
            (params, key, batch),
            is_leaf=lambda leaf: isinstance(leaf, CustomVJPPrimal),
        )
        terms, gradient = _over_parts(_with_gradient(mean, params, key), batch, size)
        return terms, (gradient, (params, key, batch) if of_x else None)

    def backward(residuals: Any, cotangents: Terms) -> tuple[Params, None, Batch | None]:
        gradient, inputs = residuals
        of_theta, of_eta = (
            jnp.zeros(()) if isinstance(cotangent, SymbolicZero) else cotangent
            for cotangent in (cotangents.theta, cotangents.eta)
        )
        to_params = gradient._replace(
            theta=_scaled(of_theta, gradient.theta), eta=_scaled(of_eta, gradient.eta)
        )
        if inputs is None:
            return to_params, None, None
        params, key, batch = inputs

        # Seldom wanted: another pass.
        def values(x: Float[Array, "B X"]) -> tuple[PyTree, PyTree]:
            part_mean = jax.checkpoint(lambda part: mean(params, key, part), prevent_cse=False)
            terms, _ = _over_parts(lambda part: (part_mean(part), ()), batch._replace(x=x), size)
            return terms.theta, terms.eta

        (to_x,) = jax.vjp(values, batch.x)[1]((of_theta, of_eta))
        return to_params, None, Batch(to_x, _no_gradient(batch.index), _no_gradient(batch.memory))

    whole.defvjp(forward, backward, symbolic_zeros=True)
    return whole


def _with_gradient(
    mean: TermsOfBatch, params: Params, key: Key[Array, ""]
) -> Callable[[Batch], tuple[Terms, Params]]:
    """part -> (its mean, the gradient of theta's term and of eta's)."""

    def with_gradient(part: Batch) -> tuple[Terms, Params]:
        def split(params: Params) -> tuple[tuple[PyTree, PyTree], Terms]:
            terms = mean(params, key, part)
            return (terms.theta, terms.eta), terms

        (theta, eta), pull, terms = jax.vjp(split, params, has_aux=True)
        # One pull for both: theta's term has no gradient in eta, nor eta's in theta.
        (gradient,) = pull((jnp.ones_like(theta), jnp.ones_like(eta)))
        return terms._replace(theta=theta, eta=eta), gradient

    return with_gradient


def _over_parts(
    function: Callable[[Batch], tuple[Terms, PyTree]], batch: Batch, size: int
) -> tuple[Terms, PyTree]:
    """The means of function(part) over the parts of `size` datapoints, one after the other.

    The memories are put together.
    """

    def split(part: Batch) -> tuple[PyTree, PyTree]:
        terms, gradient = function(part)
        return (terms._replace(memory=()), gradient), terms.memory

    num_parts = batch.x.shape[0] // size
    parts = jax.tree.map(lambda leaf: leaf.reshape(num_parts, size, *leaf.shape[1:]), batch)
    first, _ = jax.eval_shape(split, jax.tree.map(lambda leaf: leaf[0], parts))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), first)

    def add(total: PyTree, part: Batch) -> tuple[PyTree, PyTree]:
        found, memory = split(part)
        return jax.tree.map(jnp.add, total, found), memory

    total, memory = lax.scan(add, zeros, parts)
    terms, gradient = jax.tree.map(lambda leaf: leaf / num_parts, total)
    memory = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), memory)
    return terms._replace(memory=memory), gradient


def _scaled(by: Float[Array, ""], gradient: PyTree) -> PyTree:
    """The gradient times a number, of the dtypes that it had: losses may be of a wider one."""
    return jax.tree.map(lambda leaf: (by * leaf).astype(leaf.dtype), gradient)


def _no_gradient(tree: PyTree[Array]) -> PyTree:
    """The cotangent of arrays of which no gradient is taken."""

    def zero(leaf: Array) -> Any:
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            return jnp.zeros_like(leaf)
        return np.zeros(leaf.shape, jax.dtypes.float0)

    return jax.tree.map(zero, tree)
