"""Log-likelihoods of models that can only be drawn from, by averages over what they drew.

Both are streamed over datapoints and draws, so that memory depends on neither number.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PyTree, Shaped
from numpy.typing import ArrayLike

from remjax.data.checks import check_rows
from remjax.errors import InputError
from remjax.evaluation.importance_sampling import standard_error
from remjax.types import Datapoint, Scalar, Support

# Datapoints in one compiled call, and draws that they are scored under at a time.
_BLOCK, _DRAWS_IN_FLIGHT = 200, 50

# Rows of any shape, of which there are different numbers.
Rows = Shaped[Array, "..."] | Shaped[np.ndarray, "..."]
# (theta, x, what x is drawn from) -> log p_theta(x | .), nats: of a Model or a DenoisingModel.
LogLikelihood = Callable[[PyTree, Datapoint, PyTree], Scalar]
Progress = Callable[[int], None]

_ANY_FINITE = Support()


class SampleBased(NamedTuple):
    """Per-datapoint results.

    Attributes:
        log_likelihood: log 1/M sum_m p(x | draw m), nats.
    """

    log_likelihood: Float[np.ndarray, " N"]

    @property
    def mean(self) -> float:
        """Mean log-likelihood in nats per datapoint."""
        return float(np.mean(self.log_likelihood, dtype=np.float64))

    @property
    def stderr(self) -> float:
        """Standard error of the mean over datapoints, nats, the draws as they are; nan for one."""
        return standard_error(self.log_likelihood)


def make_conservative_log_likelihood(
    log_likelihood: LogLikelihood, support: Support = _ANY_FINITE
) -> Callable[..., SampleBased]:
    """A compiled conservative sampling-based log-likelihood, CSL (Bengio, Yao & Cho 2013).

    log 1/M sum_m p_theta(x | zbar_m), where the zbar_m are states of a chain whose stationary
    distribution is the model: for a denoising model those that `methods.make_chains` keeps once it
    has forgotten where it began. By Jensen's inequality its expectation is a lower bound on log
    p(x), dependent draws or not; it rises to log p(x) as M grows, slowly where x has many units. A
    chain that has not mixed, or that began at the datapoints it is judged on, voids the bound.

    It serves any model that can say p(x | z) of what it drew: a latent-variable model with z of its
    prior, for instance.

    Args:
        log_likelihood: (theta, x, zbar) -> nats, such as `DenoisingModel.log_likelihood`.
        support: the values that x may have, such as `DenoisingModel.support`.

    Returns:
        evaluate(theta, draws, x [N, *X], progress=None) -> SampleBased. `draws` is an array of M
        rows, or a pytree of such; progress(n) is called with the number of datapoints done since
        the last call.

    Raises:
        InputError: from `evaluate`, for no datapoints or no draws, or values that the model has no
            density for.
    """
    block = _make_block(log_likelihood)

    def evaluate(
        theta: PyTree, draws: PyTree, x: Rows, progress: Progress | None = None
    ) -> SampleBased:
        check_rows(np.asarray(x), support)
        return SampleBased(_over_data(block, theta, draws, x, progress))

    return evaluate


class Parzen(NamedTuple):
    """Parzen-window log-likelihoods.

    Attributes:
        bandwidth: of the windows, chosen on the validation data.
        validation: mean log-likelihood of the validation data for each bandwidth tried, nats.
        test: of the datapoints, at the bandwidth chosen.
    """

    bandwidth: float
    validation: Float[np.ndarray, " G"]
    test: SampleBased


def parzen_windows(samples: Rows, x: Rows, *, validation: Rows, bandwidths: ArrayLike) -> Parzen:
    """log 1/M sum_m N(x; sample_m, bandwidth^2 I) of every datapoint. KEPT AS HISTORY.

    The figure by which the first GSNs and GANs were compared: for comparison with their tables, and
    for nothing else. It "should generally be avoided" (Theis, van den Oord & Bethge 2016): centres
    of k-means score higher than the true images do. It ranks a VAE with 10 latents above one with
    50, which is ahead by 286 nats, and sees 15 nats between two networks that are 247 apart (Wu et
    al. 2017). Report `make_conservative_log_likelihood` or an annealed bound instead.

    Args:
        samples: of the model [M, *X]; the published figures are of 10,000, means instead of bits.
        x: the datapoints [N, *X].
        validation: on whose mean log-likelihood the bandwidth is chosen [V, *X], other than x.
        bandwidths: standard deviations to choose from, such as np.logspace(-1, 0, 10).

    Returns:
        The log-likelihoods, nats of a density. One of binary data has no meaning.

    Raises:
        InputError: for no samples or datapoints, bandwidths that are not positive, rows of
            different shapes, or values that are not finite.
    """
    grid = np.asarray(bandwidths, np.float32)
    if grid.ndim != 1 or grid.size == 0:
        raise InputError(
            f"bandwidths have the shape {grid.shape}: give a vector of standard deviations"
        )
    refused = ~(np.isfinite(grid) & (grid > 0.0))
    if refused.any():
        raise InputError(f"bandwidths hold {grid[refused][0]:g}: give standard deviations above 0")
    shapes = [rows.shape[1:] for rows in (samples, x, validation)]
    if len(set(shapes)) > 1:
        raise InputError(
            f"rows of samples, x and validation have the shapes {', '.join(map(str, shapes))}: "
            "give images of one size"
        )
    for rows in (samples, x, validation):
        check_rows(np.asarray(rows), _ANY_FINITE)
    block = _make_block(_log_windows)
    of_validation = _over_data(block, jnp.asarray(grid), samples, validation, None)
    means = np.asarray(np.mean(of_validation, axis=0, dtype=np.float64))
    best = int(np.argmax(means))
    of_test = _over_data(block, jnp.asarray(grid[best : best + 1]), samples, x, None)
    return Parzen(float(grid[best]), means, SampleBased(of_test[:, 0]))


def _log_windows(
    bandwidths: Float[Array, " G"], x: Datapoint, sample: Datapoint
) -> Float[Array, " G"]:
    """log N(x; sample, bandwidth^2 I), nats, for each bandwidth."""
    squared = jnp.sum(jnp.square(x.astype(float) - sample.astype(float)))
    log_scale = jnp.log(bandwidths) + 0.5 * jnp.log(2.0 * jnp.pi)
    return -0.5 * squared / jnp.square(bandwidths) - x.size * log_scale


def _make_block(log_likelihood: Callable[[PyTree, Datapoint, PyTree], Array]) -> Any:
    """The compiled part: (theta, draws [T, C, ...], how many of them, x [B, *X]) -> [B, *G]."""

    def score(theta: PyTree, draw: PyTree, x: Shaped[Array, "B *X"]) -> Float[Array, "B *G"]:
        # The draw is common to all x, so that what a network makes of it is computed once.
        return jax.vmap(lambda one: log_likelihood(theta, one, draw))(x)

    def block(
        theta: PyTree, chunks: PyTree, count: Int[Array, ""], x: Shaped[Array, "B *X"]
    ) -> Float[Array, "B *G"]:
        def absorb(
            carry: tuple[Array, Array], chunk: tuple[PyTree, Bool[Array, " C"]]
        ) -> tuple[tuple[Array, Array], None]:
            largest, total = carry
            draws, counts = chunk
            values = jax.vmap(lambda draw: score(theta, draw, x))(draws)
            counts = counts.reshape(-1, *[1] * (values.ndim - 1))
            values = jnp.where(counts, values, -jnp.inf)
            new = jnp.maximum(largest, jnp.max(values, axis=0))
            # Nothing is subtracted where all are impossible so far: -inf less -inf is no number.
            level = jnp.where(new == -jnp.inf, 0.0, new)
            total = total * jnp.exp(largest - level) + jnp.sum(jnp.exp(values - level), axis=0)
            return (new, total), None

        first = jax.tree.map(lambda leaf: leaf[0, 0], chunks)
        form = jax.eval_shape(score, theta, first, x)
        start = jnp.full(form.shape, -jnp.inf, form.dtype), jnp.zeros(form.shape, form.dtype)
        size = jax.tree.leaves(chunks)[0].shape[:2]
        counts = (jnp.arange(size[0] * size[1]) < count).reshape(size)
        # A figure is the same on every device: accelerators round factors to 10 bits by default.
        with jax.default_matmul_precision("highest"):
            (largest, total), _ = lax.scan(absorb, start, (chunks, counts))
        return jnp.where(largest == -jnp.inf, -jnp.inf, largest + jnp.log(total / count))

    return jax.jit(block)


def _over_data(
    block: Any, theta: PyTree, draws: PyTree, x: Rows, progress: Progress | None
) -> np.ndarray:
    """The block of all datapoints; one that is not full repeats its last datapoint."""
    rows = {leaf.shape[0] for leaf in jax.tree.leaves(draws)}
    if len(rows) != 1 or rows == {0}:
        raise InputError(
            f"the draws have {' and '.join(map(str, sorted(rows))) or 'no'} rows: give an array "
            "of at least one draw, or several with equally many"
        )
    if x.shape[0] == 0:
        raise InputError("there is nothing to evaluate: give at least one datapoint")
    (count,), num_data = rows, x.shape[0]
    chunk = min(count, _DRAWS_IN_FLIGHT)

    def in_chunks(leaf: Shaped[Array, "M ..."]) -> Shaped[Array, "T C ..."]:
        padding = [(0, -count % chunk), *[(0, 0)] * (leaf.ndim - 1)]
        return jnp.pad(leaf, padding, mode="edge").reshape(-1, chunk, *leaf.shape[1:])

    chunks = jax.tree.map(in_chunks, jax.tree.map(jnp.asarray, draws))
    size, results = min(num_data, _BLOCK), []
    for start in range(0, num_data, size):
        place = np.minimum(np.arange(start, start + size), num_data - 1)
        values = block(theta, chunks, count, jnp.asarray(x[place]))
        done = min(size, num_data - start)
        results.append(np.asarray(values)[:done])
        if progress is not None:
            progress(done)
    return np.concatenate(results)
