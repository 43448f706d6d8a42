"""Probabilistic backpropagation (Hernandez-Lobato & Adams 2015): Gaussian weights, no samples.

The weights of a ReLU network are independent Gaussians. Means and variances go forward through the
layers, the gradient of log Z comes back, and each datapoint updates every mean and variance in
closed form (assumed density filtering). The noise's variance and that of the prior are given; the
paper's Gamma posteriors over both, and its repeated refinement of the prior factors, are left out.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.stats import norm
from jaxtyping import Array, Float, Key

Scalar = Float[Array, ""]


class GaussianWeights(NamedTuple):
    """Independent Gaussians over the weights of each layer.

    Attributes:
        means: of each layer [out, in + 1]; the last column is that of the biases.
        variances: likewise, positive.
    """

    means: tuple[Float[Array, "..."], ...]
    variances: tuple[Float[Array, "..."], ...]


def gaussian_weights(
    key: Key[Array, ""], sizes: Sequence[int], prior_variance: float = 1.0
) -> GaussianWeights:
    """The prior, its means moved a little, or all units of a layer would stay alike.

    Args:
        key: consumed.
        sizes: of the layers, from X to 1.
        prior_variance: of every weight.
    """
    shapes = [(out, size + 1) for size, out in itertools.pairwise(sizes)]
    keys = jax.random.split(key, len(shapes))
    means = [0.3 * jax.random.normal(one, shape) for one, shape in zip(keys, shapes, strict=True)]
    variances = [jnp.full(shape, prior_variance) for shape in shapes]
    return GaussianWeights(tuple(means), tuple(variances))


def relu_moments(
    mean: Float[Array, " H"], variance: Float[Array, " H"]
) -> tuple[Float[Array, " H"], Float[Array, " H"]]:
    """Mean and variance of max(a, 0) for a ~ N(mean, variance) (Eqs. 13-14). Gradients pass."""
    scale = jnp.sqrt(jnp.maximum(variance, 1e-12))
    ratio = jnp.clip(mean / scale, -10.0, 10.0)  # beyond, a is all on one side
    above, below, d = norm.cdf(ratio), norm.cdf(-ratio), scale * norm.pdf(ratio)
    first = mean * above + d
    # E[a^2] - E[a]^2, without the squares of a large mean, which would cancel.
    within = above * variance + mean**2 * above * below + mean * d * (below - above) - d**2
    return jnp.maximum(first, 0.0), jnp.maximum(within, 0.0)


def predicted(weights: GaussianWeights, x: Float[Array, " X"]) -> tuple[Scalar, Scalar]:
    """Mean and variance of the network's output at ONE x, layer by layer (Eqs. 11-14).

    The input of each layer is divided by the root of its size. Without the noise of y.
    """
    mean, variance = x, jnp.zeros_like(x)
    last = len(weights.means) - 1
    for place, (m, v) in enumerate(zip(*weights, strict=True)):
        mean, variance = jnp.append(mean, 1.0), jnp.append(variance, 0.0)
        size = mean.shape[0]
        out = m @ mean / jnp.sqrt(size)
        spread = (jnp.square(m) @ variance + v @ (jnp.square(mean) + variance)) / size
        mean, variance = (out, spread) if place == last else relu_moments(out, spread)
    return mean[0], variance[0]


def assumed_density_step(
    weights: GaussianWeights, x: Float[Array, " X"], y: Scalar, noise_variance: float
) -> GaussianWeights:
    """The Gaussians nearest to weights times N(y | output, noise) (Eqs. 5-6).

    mean + v d log Z / d mean, v - v^2 ((d log Z / d mean)^2 - 2 d log Z / d v), with Z the density
    of y under the prediction. A weight whose variance would not stay positive is left as it was.

    Args:
        weights: before the datapoint.
        x: its input.
        y: its output.
        noise_variance: of y given the output of the network.
    """

    def log_z(weights: GaussianWeights) -> Scalar:
        mean, variance = predicted(weights, x)
        return norm.logpdf(y, mean, jnp.sqrt(variance + noise_variance))

    gradient = jax.grad(log_z)(weights)
    moved = []
    for m, v, of_m, of_v in zip(*weights, *gradient, strict=True):
        variance = v - jnp.square(v) * (jnp.square(of_m) - 2.0 * of_v)
        mean = m + v * of_m
        right = (variance > 0.0) & (variance < 100.0 * v) & jnp.isfinite(mean)
        moved.append((jnp.where(right, mean, m), jnp.where(right, variance, v)))
    means, variances = zip(*moved, strict=True)
    return GaussianWeights(means, variances)


def probabilistic_backpropagation(
    weights: GaussianWeights,
    x: Float[Array, "N X"],
    y: Float[Array, " N"],
    noise_variance: float,
) -> GaussianWeights:
    """One pass over the data, a datapoint after the other, in their order.

    Each pass counts the data once: after a second one the variances are those of twice the data.

    Args:
        weights: the prior, or what other data left.
        x: inputs, of about unit size.
        y: outputs, likewise.
        noise_variance: of y given the output of the network.
    """

    def step(weights: GaussianWeights, row: tuple[Array, Array]) -> tuple[GaussianWeights, None]:
        return assumed_density_step(weights, *row, noise_variance), None

    return lax.scan(step, weights, (x, y))[0]
