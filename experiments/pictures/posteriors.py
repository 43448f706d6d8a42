"""Heat maps of posteriors over two latents: the true one above the recognition network's.

Burda et al. 2015, Appendix C: training images, the posterior of each under several models.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments.pictures.drawing import PathLike, drawing


class PosteriorMaps(NamedTuple):
    """The posterior of one image over two latents.

    Attributes:
        true: [G, G] p(z | x) at the points of a square grid, relative to its maximum there.
        network: [G, G] r(z | x), likewise.
        centre: of the square.
        half_width: of the square, in units of z.
        reconstruction: [H, W], the mean image at a draw of r.
    """

    true: np.ndarray
    network: np.ndarray
    centre: np.ndarray
    half_width: float
    reconstruction: np.ndarray


def posterior_pictures(
    path: PathLike, images: np.ndarray, maps: Mapping[str, Sequence[PosteriorMaps]]
) -> None:
    """A column for each image; for each model the true posterior, the network's, and a draw.

    The number in the corner of a square is its width in units of the latents; both squares of an
    image and a model are the same square.

    Args:
        path: the file to write.
        images: [N, H, W], the training images.
        maps: name of the model -> the posteriors of each image.
    """
    rows = 1 + 3 * len(maps)
    with drawing(path, 1.9 + 1.15 * len(images), 0.4 + 1.15 * rows) as figure:
        panels = figure.subplots(rows, len(images), squeeze=False)
        for axes in panels.ravel():
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
        for axes, image in zip(panels[0], images, strict=True):
            axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        labels = ["training image"]
        for number, (name, of_model) in enumerate(maps.items()):
            labels += [f"{name}\ntrue posterior", "network's", "a draw's image"]
            for column, one in enumerate(of_model):
                top, middle, bottom = panels[1 + 3 * number : 4 + 3 * number, column]
                for axes, values in ((top, one.true), (middle, one.network)):
                    axes.imshow(values, cmap="magma", origin="lower", vmin=0, vmax=1)
                width = f"{2 * one.half_width:.1f}"
                top.text(0.04, 0.04, width, color="white", transform=top.transAxes, fontsize=8)
                bottom.imshow(one.reconstruction, cmap="gray", vmin=0, vmax=1)
        for axes, label in zip(panels[:, 0], labels, strict=True):
            axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
        title = "Posteriors over two latents; in the corner the width of both squares"
        figure.suptitle(title, x=0.01, ha="left")
