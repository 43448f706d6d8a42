"""Posteriors over two latents on a grid: the true one and the recognition network's.

Burda et al. 2015, Appendix C.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from experiments.pictures.posteriors import PosteriorMaps
from experiments.run.finished_run import FinishedRun

# Where the window is sought: a square of this half-width around the origin, in steps of 0.05.
_FARTHEST, _COARSE = 5.0, 201
_FINE = 81
_POINTS_IN_FLIGHT = 2048
_KEY_LATENT = 1_000_006


def posterior_maps(run: FinishedRun, x: np.ndarray) -> PosteriorMaps:
    """Both posteriors of one image, on the smallest square that holds the mass of both.

    Args:
        run: a run with two latents.
        x: [X], the image as bits.
    """
    model, recognition = run.problem.parts.model, run.problem.parts.recognition

    @jax.jit
    def densities(z: jax.Array) -> tuple[jax.Array, jax.Array]:
        joint = model.joint(run.params.theta, jnp.asarray(x))
        r = recognition.distribution(run.params.eta, jnp.asarray(x))
        both = lax.map(lambda z: (joint(z), r.log_prob(z)), z, batch_size=_POINTS_IN_FLIGHT)
        return tuple(jnp.exp(values - jnp.max(values)) for values in both)

    coarse = _square(np.zeros(2), _FARTHEST, _COARSE)
    mass = np.maximum(*(np.asarray(values) for values in densities(coarse)))
    inside = np.asarray(coarse)[mass > 0.01]
    low, high = inside.min(axis=0), inside.max(axis=0)
    step = 2 * _FARTHEST / (_COARSE - 1)
    half_width = float(np.max(high - low)) / 2 + 2 * step
    centre = (low + high) / 2
    true, network = (
        np.reshape(values, (_FINE, _FINE))
        for values in densities(_square(centre, half_width, _FINE))
    )
    r = recognition.distribution(run.params.eta, jnp.asarray(x))
    mean = model.mean(run.params.theta, r.sample(jax.random.key(_KEY_LATENT)))
    image = np.reshape(mean, run.problem.dataset.image_shape)
    return PosteriorMaps(true, network, centre, half_width, image)


def _square(centre: np.ndarray, half_width: float, points: int) -> jax.Array:
    """[points^2, 2]: the first latent along the columns, the second along the rows."""
    line = np.linspace(-half_width, half_width, points)
    first, second = np.meshgrid(centre[0] + line, centre[1] + line)
    return jnp.asarray(np.stack([first.ravel(), second.ravel()], axis=1), jnp.float32)
