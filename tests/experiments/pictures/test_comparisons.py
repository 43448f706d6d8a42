"""Comparisons are drawn for whole and for patchy results."""

import numpy as np
import pytest
from PIL import Image

from experiments.pictures import comparisons


@pytest.fixture
def path(tmp_path):
    return tmp_path / "picture.png"


def _height(path):
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"))
    assert pixels.min() < 128 < pixels.max()
    return len(pixels)


def test_method_comparison(path):
    patchy = {"MNIST": {"vae": (-90, 0.5), "rws": (-87, 0.4)}, "OMNIGLOT": {"vae": (-115, 0)}}
    comparisons.method_comparison(path, patchy, title="Figure 1")
    two = _height(path)
    comparisons.method_comparison(path, {"digits": {"vae": (-20.0, 0.1)}})
    assert _height(path) < two


def test_kl_against_particles(path):
    curves = {f"method {number}": {10: 20.0 + number} for number in range(9)}
    comparisons.kl_against_particles(path, curves | {"rem_v1": {1000: 24.0, 10: 22.0}})
    _height(path)
