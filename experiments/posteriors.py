"""Heat maps of posteriors over two latents: the true one on a grid beside the network's.

Burda et al. 2015, Appendix C: training images, the posterior of each under several models.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from experiments.finished import FinishedRun
from experiments.pictures import PathLike, drawing
from experiments.scoring import evaluation_images

# Where the window is sought: a square of this half-width around the origin, in steps of 0.05.
_FARTHEST, _COARSE = 5.0, 201
_FINE = 81
_POINTS_IN_FLIGHT = 2048
_KEY_LATENT = 1_000_006


class PosteriorMaps(NamedTuple):
    """The posterior of one image over two latents.

    Attributes:
        true: [G, G] p(z | x) at the points of a square grid, relative to its maximum there.
        network: [G, G] r(z | x), likewise.
        centre: of the square.
        half_width: of the square, in units of z.
        reconstruction: [X], the mean image at a draw of r.
    """

    true: np.ndarray
    network: np.ndarray
    centre: np.ndarray
    half_width: float
    reconstruction: np.ndarray


def posterior_maps(run: FinishedRun, x: np.ndarray) -> PosteriorMaps:
    """Both posteriors of one image, on the smallest square that holds the mass of both.

    Args:
        run: a run with two latents.
        x: [X], the image as bits.
    """
    model, recognition = run.problem.model, run.problem.recognition

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
    return PosteriorMaps(true, network, centre, half_width, np.asarray(mean))


def _square(centre: np.ndarray, half_width: float, points: int) -> jax.Array:
    """[points^2, 2]: the first latent along the columns, the second along the rows."""
    line = np.linspace(-half_width, half_width, points)
    first, second = np.meshgrid(centre[0] + line, centre[1] + line)
    return jnp.asarray(np.stack([first.ravel(), second.ravel()], axis=1), jnp.float32)


def posterior_pictures(path: PathLike, runs: Mapping[str, FinishedRun], *, images: int = 6) -> None:
    """A column for each training image; for each model the true posterior, the network's, a draw.

    Each square is as wide as the number in its corner says, in units of the latents; both squares
    of an image and model are the same one.

    Args:
        path: the file to write.
        runs: name -> a run with two latents; all on the same data.
        images: how many training images.
    """
    problem = next(iter(runs.values())).problem
    originals = evaluation_images(problem, "train", images)
    shape = problem.dataset.image_shape
    rows = 1 + 3 * len(runs)
    with drawing(path, 1.9 + 1.15 * images, 0.4 + 1.15 * rows) as figure:
        panels = figure.subplots(rows, images, squeeze=False)
        for axes in panels.ravel():
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
        for axes, image in zip(panels[0], originals, strict=True):
            axes.imshow(np.reshape(image, shape), cmap="gray", vmin=0, vmax=1)
        labels = ["training image"]
        for number, (name, run) in enumerate(runs.items()):
            labels += [f"{name}\ntrue posterior", "network's", "a draw's image"]
            for column, image in enumerate(originals):
                maps = posterior_maps(run, image)
                top, middle, bottom = panels[1 + 3 * number : 4 + 3 * number, column]
                for axes, values in ((top, maps.true), (middle, maps.network)):
                    axes.imshow(values, cmap="magma", origin="lower", vmin=0, vmax=1)
                width = f"{2 * maps.half_width:.1f}"
                top.text(0.04, 0.04, width, color="white", transform=top.transAxes, fontsize=8)
                bottom.imshow(np.reshape(maps.reconstruction, shape), cmap="gray", vmin=0, vmax=1)
        for axes, label in zip(panels[:, 0], labels, strict=True):
            axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
        title = "Posteriors over two latents; in the corner the width of both squares"
        figure.suptitle(title, x=0.01, ha="left")
