"""Pictures are written whole, for ordinary and for scant input, and leave matplotlib as it was."""

import math

import matplotlib
import numpy as np
import pytest
from matplotlib import _pylab_helpers
from PIL import Image

from experiments.pictures import one_run
from experiments.pictures.drawing import COLOURS
from experiments.pictures.latents import latent_space
from remjax.errors import InputError

IMAGES = np.random.default_rng(0).random((7, 8, 6))
METRICS = [
    {
        "epoch": epoch,
        "seconds": 400.0 * epoch,
        "log_evidence": -90.0 - 100.0 / epoch,
        "ess": 3.0 + 1.0 / epoch,
        "test_log_likelihood": -95.0 if epoch % 2 else None,
    }
    for epoch in range(1, 25)
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "picture.png"


@pytest.fixture(autouse=True)
def _no_global_state():
    before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == before
    assert not _pylab_helpers.Gcf.figs  # no figure belongs to pyplot


def _pixels(path):
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L")) / 255
    assert pixels.min() < 0.5 < pixels.max()
    return pixels


def test_grid_shows_every_pixel_of_every_image(path):
    one_run.image_grid(path, IMAGES, columns=4)
    pixels = _pixels(path)
    scale = 12
    assert pixels.shape == (scale * (2 * 9 + 1), scale * (4 * 7 + 1))
    for number, image in enumerate(IMAGES):
        top, left = scale * (1 + 9 * (number // 4)), scale * (1 + 7 * (number % 4))
        shown = pixels[top : top + 8 * scale, left : left + 6 * scale]
        # The centres of the magnified pixels; 8 bits each.
        np.testing.assert_allclose(shown[6::scale, 6::scale], image, atol=0.01)


def test_filters_of_largest_norm_come_first_with_zero_in_the_middle(path):
    weights = np.zeros((6, 3))
    weights[0, 1], weights[5, 2], weights[4, 2] = 2.0, -4.0, 1.0
    one_run.filter_grid(path, weights, (2, 3))
    pixels = _pixels(path)
    scale = 12
    shown = pixels[scale + 6 :: scale, scale + 6 :: scale]
    # Two columns of images, apart by a line: the third unit, the second, and below the first.
    np.testing.assert_allclose(shown[:2, :3], [[0.5] * 3, [0.5, 0.625, 0.0]], atol=0.01)
    np.testing.assert_allclose(shown[:2, 4:7], [[1.0, 0.5, 0.5], [0.5] * 3], atol=0.01)
    np.testing.assert_allclose(shown[3:5, :3], 0.5, atol=0.01)


def test_grid_cuts_brightness_and_takes_one_image_with_a_title(path):
    one_run.image_grid(path, np.array([[[-3.0, 2.0]]]), title="A title wider than the image")
    assert _pixels(path).shape[1] > 300


def test_reconstructions_put_each_mean_below_its_image(path):
    one_run.reconstructions(path, np.zeros((12, 8, 8)), np.full((12, 8, 8), 0.8))
    pixels = _pixels(path)
    assert (np.abs(pixels - 0.8) < 0.01).sum() == 12 * (8 * 10) ** 2


@pytest.mark.parametrize("epochs", [0, 1, 3, 24])
def test_curves(path, epochs):
    metrics = METRICS[:epochs]
    one_run.learning_curves(path, metrics, title="rem_v1 on digits")
    assert _pixels(path).shape == (630, 1500)
    one_run.ess_over_time(path, metrics, num_particles=50)
    one_run.ess_over_time(path, metrics)
    assert _pixels(path).shape == (630, 975)


def test_curves_leave_out_what_is_not_there(path):
    holes = [{"epoch": 1, "seconds": 1.0, "ess": None, "log_evidence": math.nan}] * 9
    one_run.learning_curves(path, holes)
    one_run.ess_over_time(path, holes)


def test_other_curves_than_the_evidence(path):
    """Three of them, each in its own colour; the metrics of the evidence are not looked at."""
    rows = [{"epoch": n, "seconds": n, "a": n, "b": 2.0 * n, "c": 3.0 * n} for n in range(1, 10)]
    one_run.learning_curves(path, rows, curves={"a": "one", "b": "two", "c": "three"}, label="d")
    _pixels(path)
    with Image.open(path) as image:
        found = {colour for _, colour in image.convert("RGB").getcolors(1 << 24)}
    assert {tuple(bytes.fromhex(colour[1:])) for colour in COLOURS[:3]} <= found
    assert not {tuple(bytes.fromhex(colour[1:])) for colour in COLOURS[3:6]} & found


def test_a_bracket_is_a_band(path):
    """Of epochs that have one; between both ends it has the colour of the curve, and no others."""
    rows = [{"epoch": n, "seconds": n, "a": 0.0, "a_low": -n, "a_high": n} for n in (1, 2, 3)]
    with_gap = [*rows, {"epoch": 4, "seconds": 4, "a": 0.0, "a_low": None, "a_high": 1.0}]
    found = []
    for metrics in (rows, with_gap, [{**row, "a_low": None} for row in rows]):
        one_run.learning_curves(path, metrics, curves={"a": "one"}, label="d")
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"), float)
        mixed = 255 * 0.75 + 0.25 * np.array(list(bytes.fromhex(COLOURS[0][1:])))
        found.append((np.abs(pixels - mixed) < 2).all(axis=-1).mean())
    assert min(found[:2]) > 0.02
    assert found[2] < 0.01


def test_place_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"cannot write .*picture.png: No such file or directory"):
        one_run.image_grid(tmp_path / "missing" / "picture.png", IMAGES)


def test_the_weights_of_an_evaluation(path):
    """Of ordinary images, and where no k-hat is known and one particle has all the weight."""
    rng = np.random.default_rng(0)
    one_run.weight_diagnostics(path, rng.uniform(1, 50, 40), rng.normal(size=40), num_particles=50)
    assert _pixels(path).shape == (570, 1500)
    one_run.weight_diagnostics(path, np.ones(2), np.full(2, np.nan), num_particles=1, title="one")
    _pixels(path)


def test_codes_have_the_colours_of_their_labels(path):
    codes = np.random.default_rng(0).normal(size=(30, 3))
    latent_space(path, codes, labels=["a", "b", "c"] * 10)
    _pixels(path)
    with Image.open(path) as image:
        found = {colour for _, colour in image.convert("RGB").getcolors(1 << 24)}
    # They are drawn with a little transparency: near to their own colours.
    for colour in COLOURS[:3]:
        own = np.array(list(bytes.fromhex(colour[1:])))
        assert min(np.abs(own - one).max() for one in found) < 60
