"""Tables are drawn with and without a title and notes."""

import numpy as np
import pytest
from PIL import Image

from experiments.pictures.tables import table_picture


@pytest.fixture
def path(tmp_path):
    return tmp_path / "picture.png"


def _height(path):
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"))
    assert pixels.min() < 128 < pixels.max()
    return len(pixels)


def test_table(path):
    row = ["rem_v1", "87.91"]
    table_picture(path, ["method", "paper"], [row], title="Table 2")
    with_title = _height(path)
    table_picture(path, ["method", "paper"], [row, row])
    assert _height(path) == with_title
    with pytest.raises(ValueError, match="zip"):
        table_picture(path, ["method", "paper"], [["rem_v1"]])


def test_notes_stand_below_the_table(path):
    row = ["rem_v1", "87.91"]
    table_picture(path, ["method", "paper"], [row])
    without = _height(path)
    table_picture(path, ["method", "paper"], [row], notes=["a: " + "word " * 60])
    assert _height(path) > without + 3 * 20
