"""The style of all pictures, and a figure that becomes a file.

Figures are drawn without pyplot, so nothing is left behind in matplotlib's global state. A picture
that is there already is replaced whole. The colours are those of Okabe and Ito, which colour-blind
readers can distinguish; lines that share a panel differ in their markers too.
"""

import contextlib
import math
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.output.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 150
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vP*"
# Of more lines than colours, each colour comes again in another of these.
LINES = ("-", "--", ":")
_STYLE: Any = {
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "0.4",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "lines.linewidth": 2,
    "legend.frameon": False,
    "savefig.dpi": DPI,
}

PathLike = str | os.PathLike[str]


@contextlib.contextmanager
def drawing(
    path: PathLike, width: float, height: float, layout: Any = "constrained"
) -> Iterator["Figure"]:
    """A figure of a size in inches, which the file at `path` holds after the block.

    Raises:
      InputError: The disk is full or cannot be written.
    """
    import matplotlib  # a second, for what a run does last
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE), replacing(path) as temporary:
        figure = Figure(figsize=(width, height), layout=layout)
        yield figure
        figure.savefig(temporary)


def tiled(images: np.ndarray, columns: int) -> np.ndarray:
    """Puts images `[N, H, W]` into one, row by row, with white lines between them."""
    number, height, width = images.shape
    rows = math.ceil(number / columns)
    canvas = np.ones((rows * (height + 1) + 1, columns * (width + 1) + 1))
    for place, image in enumerate(images):
        top, left = (place // columns) * (height + 1) + 1, (place % columns) * (width + 1) + 1
        canvas[top : top + height, left : left + width] = np.clip(image, 0, 1)
    return canvas
