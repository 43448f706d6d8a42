"""OMNIGLOT's images stand upright and keep their ink."""

import io
import zipfile

import numpy as np
import pytest
import scipy.io
from PIL import Image

from remjax.data import load, omniglot
from remjax.data.formats import DamagedFile


def area_average(image: np.ndarray, side: int) -> np.ndarray:
    """Mean over squares by way of a grid fine enough for both sizes."""
    fine = np.kron(image, np.ones((side, side)))
    block = len(fine) // side
    return fine.reshape(side, block, side, block).mean(axis=(1, 3))


def test_area_weights_average_exactly():
    weights = omniglot.area_weights()
    assert weights.shape == (28, 105)
    np.testing.assert_array_equal(weights.sum(axis=1), 15)
    np.testing.assert_array_equal(weights.sum(axis=0), 4)
    image = np.random.default_rng(0).random((105, 105)) < 0.1
    ours = weights @ image.astype(np.float32) @ weights.T
    np.testing.assert_array_equal(ours, np.rint(ours))
    np.testing.assert_allclose(ours / 225, area_average(image, 28), atol=1e-7)


def test_characters_come_by_number_with_ink_as_one(tmp_path):
    path, characters = tmp_path / "images.zip", range(7, 9)
    rng = np.random.default_rng(0)
    ink = {f"{c:04d}_{d:02d}.png": rng.random((105, 105)) < 0.1
           for c in characters for d in range(1, 21)}  # fmt: skip
    with zipfile.ZipFile(path, "w") as archive:
        for name in rng.permutation(list(ink)):
            file = io.BytesIO()
            Image.fromarray(~ink[name]).save(file, "PNG")
            archive.writestr(f"images_background/Greek/character{name[:4]}/{name}", file.getvalue())
    found = omniglot.read_characters(path, characters)
    assert found.shape == (40, 28, 28)
    for image, expected in zip(found, ink.values(), strict=True):
        np.testing.assert_allclose(image / 225, area_average(expected, 28), atol=1e-7)


@pytest.fixture(scope="module")
def letter():
    """An L: its long stroke on the left, its foot at the bottom right."""
    image = np.zeros((28, 28), np.uint8)
    image[4:24, 8] = 1
    image[23, 8:20] = 1
    return image


def chardata(folder, letter, test_value=0):
    """A file as MATLAB writes it: each image a column, read down its columns."""
    column = letter.T.reshape(784, 1)
    data = np.repeat(column, omniglot.NUM_TRAIN, axis=1)
    test = np.full((784, omniglot.NUM_TEST), test_value, np.asarray(test_value).dtype)
    path = folder / "chardata.mat"
    scipy.io.savemat(path, {"data": data, "testdata": test, "target": np.eye(2)})
    return path


def test_chardata_stands_upright_and_comes_before_the_zips(tmp_path, letter):
    chardata(tmp_path, letter, test_value=1)
    (tmp_path / "images_background.zip").touch()
    (tmp_path / "images_evaluation.zip").touch()
    data = load("omniglot", data_dir=tmp_path)
    assert data.train.shape == (24_345, 784)
    assert data.test.shape == (8_070, 784)
    assert data.valid.shape == (0, 784)
    np.testing.assert_array_equal(data.train[[0, -1]].reshape(2, 28, 28), [letter, letter])
    assert data.test.min() == 1.0
    assert data.source.startswith("chardata.mat;")
    assert "as published" in data.source


@pytest.mark.parametrize("value", [np.nan, 1.5, -0.1])
def test_chardata_outside_the_unit_interval_is_refused(tmp_path, letter, value):
    path = chardata(tmp_path, letter, np.float32(value))
    with pytest.raises(DamagedFile, match="NaN or leave"):
        omniglot.read_chardata(path)


def test_published_zips(real_data, session_cache):
    data = load("omniglot", data_dir=real_data, cache_dir=session_cache)
    assert data.train.shape == (24_345, 784)
    assert data.test.shape == (8_070, 784)
    assert data.train.min() == 0.0
    assert data.train.max() == 1.0
    assert "not the papers' chardata.mat" in data.source
    # 7.8% of the pixels of the background set are ink; upside down or inverted it would be 92%.
    assert 0.07 < data.train.mean() < 0.09
    other = load("omniglot", data_dir=real_data, cache_dir=session_cache, seed=1)
    assert not np.array_equal(data.train[:10], other.train[:10])
    assert "seed 1" in other.source
