"""s(z), the distribution of the kind of r whose moments are those of r's weighted particles."""

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from remjax.distributions.base import Distribution
from remjax.distributions.layers import Unflattened
from remjax.particles.covariances import Covariance, MeanVariance
from remjax.particles.moments import Moments


def match(
    r: Distribution,
    moments: Moments,
    own: MeanVariance,
    num_particles: int,
    covariance: Covariance,
) -> Distribution:
    """The distribution s(z) that matches the particles of r (Dieng & Paisley 2019, Eqs. 16-18).

    N(mu, Sigma) for a Gaussian r; bits and categories with the means mu for a discrete one; over
    all layers of a hierarchy jointly. The constant epsilon that the paper puts on the diagonal is a
    thousandth of r's standard deviation, so that it means the same at every scale of the latents.
    Where the weights leave no information (one particle, or none possible) s has the mean and the
    variance of r.

    Args:
        r: the proposal that drew the particles, which matches itself (`Distribution.matched`).
        moments: of its particles, streamed under `covariance.powers`.
        own: the moments of r itself.
        num_particles: K.
        covariance: the choice of mu and Sigma.

    Returns:
        s(z), over latents of the form of r's. It carries no gradient: s has no parameters.

    Raises:
        InputError: for an r of a kind that cannot match itself.
    """
    mean, sigma = covariance.match(moments, own, num_particles)
    informed = (num_particles > 1) & (moments.total[0] > 0.0)
    mean = jnp.where(informed, mean, own.mean)
    sigma = jnp.where(informed, sigma, jnp.diag(own.variance))
    epsilon = 1e-3 * jnp.sqrt(own.variance)
    return of_kind(r, mean, sigma + jnp.diag(jnp.square(epsilon)))


def of_kind(r: Distribution, mean: Float[Array, " D"], sigma: Float[Array, "D D"]) -> Distribution:
    """The distribution of the kind of r with these moments, over latents of the form of r's.

    Raises:
        InputError: for an r of a kind that is not known by its moments.
    """
    flat = r.matched(mean, sigma)
    latent = jax.eval_shape(r.sample, jax.random.key(0))
    if not isinstance(latent, jax.ShapeDtypeStruct):
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), latent)
        flat = Unflattened(flat, ravel_pytree(zeros)[1])
    return lax.stop_gradient(flat)
