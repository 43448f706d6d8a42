"""Grids of curves are drawn, also where seeds or panels are few."""

import numpy as np
import pytest
from PIL import Image

from experiments.pictures.courses import Line, Panel, grid_of_courses


def _panel(title, seeds):
    x = np.arange(5)
    lines = {name: Line(x, np.full((5, seeds), -3.0) + x[:, None]) for name in ("one", "other")}
    return Panel(title, lines, ceiling=2.0)


@pytest.mark.parametrize("seeds", [1, 3])
def test_grid(tmp_path, seeds):
    sizes = []
    for columns in (1, 3):
        rows = {name: [_panel(name, seeds)] * columns for name in ("first", "second")}
        path = tmp_path / f"{columns}.png"
        grid_of_courses(
            path,
            rows,
            colours={"one": "black", "other": "red", "absent": "blue"},
            dashed=("one",),
            title="both",
            x_label="updates",
            y_label="nats",
            ceiling_label="most",
        )
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("L"))
            sizes.append(image.size)
        assert pixels.min() < 128 < pixels.max()
    assert sizes[0][1] == sizes[1][1]
    assert sizes[0][0] < sizes[1][0]
