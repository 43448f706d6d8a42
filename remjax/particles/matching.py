"""s(z), the distribution of the kind of r whose moments are those of r's weighted particles."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from remjax.distributions.base import Distribution
from remjax.distributions.layers import Unflattened, flat_form
from remjax.particles.covariances import Covariance, MeanVariance
from remjax.particles.moments import Moments
from remjax.particles.posterior import Posterior


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
    if not isinstance(jax.eval_shape(r.sample, jax.random.key(0)), jax.ShapeDtypeStruct):
        flat = Unflattened(flat, flat_form(r)[1])
    return lax.stop_gradient(flat)


def own_moments(r: Distribution, particles_of_r: Callable[[], Posterior]) -> MeanVariance:
    """Mean and variance of r; where they have no closed form, those of its particles, unweighted.

    Args:
        r: the distribution.
        particles_of_r: an E-step from it that streams the power 0; run only where it is needed.
    """
    mean, variance = r.mean, r.variance
    if mean is None or variance is None:
        plain = particles_of_r().under((0.0,))
        mean, variance = plain.mean[0], jnp.diagonal(plain.covariance[0])
    return MeanVariance(mean, variance)
