"""Where the particles of an evaluation come from: whatever it is, E[w] = p(x)."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Key

from remjax.distributions.base import Distribution
from remjax.distributions.gaussian import DiagonalGaussian
from remjax.errors import InputError
from remjax.particles.curvature import curvature
from remjax.particles.e_step import e_step
from remjax.particles.matching import own_moments
from remjax.particles.posterior import Posterior
from remjax.types import Joint

# (key, log p(x, .), r, K, particles in memory at a time) -> what K fresh particles are drawn from.
EvaluationProposal = Callable[[Key[Array, ""], Joint, Distribution, int, int], Distribution]

# From wherever an encoder has its mean; how wide; and the share of r, which holds every weight
# below four times what it is under r alone.
_STEPS, _INFLATION, _SHARE_OF_R = 8, 1.2, 0.25
# The moments of an r whose own have no closed form.
_PILOTS = 256


def from_recognition(
    _key: Key[Array, ""], _joint: Joint, r: Distribution, _num_particles: int, _chunk_size: int
) -> Distribution:
    """Evaluate with the recognition network r itself: plain L_K."""
    return r


def two_stage(
    key: Key[Array, ""], joint: Joint, r: Distribution, num_particles: int, chunk_size: int
) -> Distribution:
    """Evaluate as the released code of REM does: N(weighted mean of K particles of r, Var(r)).

    Fresh particles of it are weighted, so the estimate is a lower bound too, at twice the cost.
    """
    if r.is_discrete or r.variance is None:
        raise InputError(
            "the two-stage evaluation needs an r whose variance has a closed form, which bits and "
            "several layers have not: evaluate with r itself"
        )
    first = e_step(key, joint, r, num_particles, chunk_size=chunk_size)
    return DiagonalGaussian(first.mean, jnp.sqrt(r.variance))


def from_curvature(
    key: Key[Array, ""], joint: Joint, r: Distribution, _num_particles: int, chunk_size: int
) -> Distribution:
    """Evaluate with 1/4 r + 3/4 N(mu, 1.2 Lambda^-1), from the curvature of log p(x, z).

    L_K under r ranks recognition networks as much as models. Here the network only says where eight
    averaged Gauss-Newton steps begin (`particles.curvature.curvature`), which cost 8 (D + 2) passes
    through the decoder.

    Raises:
        InputError: for discrete latents, and a model without `Model.decoded`.
    """

    def pilots() -> Posterior:
        return e_step(key, joint, r, _PILOTS, chunk_size=chunk_size, powers=(1.0, 0.0))

    found = curvature(key, joint, r, own_moments(r, pilots), _STEPS)
    return found.beside(r, _SHARE_OF_R, _INFLATION)
