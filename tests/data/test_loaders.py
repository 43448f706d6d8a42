"""Each data set has the shapes, ranges and split that its source line claims."""

import hashlib

import numpy as np
import pytest

from remjax.data import NAMES, load
from remjax.data.dataset import seeded_split
from remjax.errors import InputError


def check(data, sizes, image_shape):
    parts = (data.train, data.valid, data.test)
    pixels = image_shape[0] * image_shape[1]
    assert tuple(len(part) for part in parts) == sizes
    for part in parts:
        assert part.dtype == np.float32
        assert part.shape[1:] == (pixels,)
        assert part.flags.c_contiguous
    for part in (data.train, data.test):
        assert part.min() >= 0.0
        assert part.max() <= 1.0
    assert data.image_shape == image_shape
    assert "\n" not in data.source


def test_names():
    assert NAMES == ("digits", "mnist", "binarized_mnist", "omniglot", "freyfaces")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("mnits", "did you mean mnist"),
        ("binarised_mnist", "did you mean binarized_mnist or mnist"),
        ("frey", "did you mean freyfaces"),
        ("MNIST", "did you mean mnist"),
        ("zzz", "There are digits"),
        ("", "There are digits"),
    ],
)
def test_unknown_name_gets_the_nearest(name, near):
    with pytest.raises(InputError, match=f"^unknown data set '{name}'; {near}") as caught:
        load(name)
    assert all(known in str(caught.value) for known in NAMES)


def test_digits_need_no_files(tmp_path):
    data = load("digits", data_dir=tmp_path / "does not exist")
    check(data, (1_500, 0, 297), (8, 8))
    assert (data.binary, data.real_valued) == (False, False)
    np.testing.assert_array_equal(np.unique(data.train), np.arange(17, dtype=np.float32) / 16)
    # The first digit of the file is a 0: a ring.
    everything = np.concatenate([data.train, data.test]).reshape(-1, 8, 8)
    ring = np.array([0, 0, 5, 13, 9, 1, 0, 0], np.float32) / 16
    assert (everything[:, 0] == ring).all(axis=1).any()


def test_digits_are_those_of_scikit_learn():
    """Whose file is read without importing it: every image, with its label."""
    from sklearn.datasets import load_digits

    grey, labels = load_digits(return_X_y=True)
    data = load("digits", seed=0)
    train, test = seeded_split(np.asarray(grey / 16.0, np.float32), 1_500, 297, 0)
    np.testing.assert_array_equal(data.train, train)
    np.testing.assert_array_equal(data.test, test)
    np.testing.assert_array_equal(data.test_labels, seeded_split(labels, 1_500, 297, 0)[1])


def test_seed_decides_the_split_of_digits():
    first, second = load("digits", seed=0), load("digits", seed=1)
    assert "seed 1" in second.source
    assert not np.array_equal(first.test, second.test)
    np.testing.assert_array_equal(
        np.sort(np.concatenate([first.train, first.test]), axis=0),
        np.sort(np.concatenate([second.train, second.test]), axis=0),
    )
    with pytest.raises(InputError, match="seed is -3"):
        load("digits", seed=-3)


def test_mnist(real_data, session_cache):
    data = load("mnist", data_dir=real_data, cache_dir=session_cache)
    check(data, (60_000, 0, 10_000), (28, 28))
    assert (data.binary, data.real_valued) == (False, False)
    grey = np.rint(data.test * 255).astype(np.uint8)
    header = b"\x00\x00\x08\x03\x00\x00\x27\x10\x00\x00\x00\x1c\x00\x00\x00\x1c"
    digest = hashlib.md5(header + grey.tobytes(), usedforsecurity=False).hexdigest()
    assert digest == "2646ac647ad5339dbf082846283269ea"


def test_binarized_mnist(real_data, session_cache):
    data = load("binarized_mnist", data_dir=real_data / "binarized_mnist", cache_dir=session_cache)
    check(data, (50_000, 10_000, 10_000), (28, 28))
    assert (data.binary, data.real_valued) == (True, False)
    assert np.isin(data.test, (0.0, 1.0)).all()
    # It is MNIST: the mean image is a blob in the middle.
    mean = data.train.mean(axis=0).reshape(28, 28)
    assert mean[8:20, 8:20].mean() > 10 * mean[:, :3].mean()


def test_frey_faces(real_data, session_cache):
    data = load("freyfaces", data_dir=real_data, cache_dir=session_cache)
    check(data, (1_600, 0, 365), (28, 20))
    assert (data.binary, data.real_valued) == (False, True)
    # One pixel and the next below it are alike in a face, and not where the rows are misread.
    right, wrong = (
        np.abs(np.diff(data.train[:50].reshape(50, *shape), axis=1)).mean()
        for shape in (data.image_shape, data.image_shape[::-1])
    )
    assert right < 0.7 * wrong


def test_frey_faces_come_as_rows(frey_file, frames):
    data = load("freyfaces", data_dir=frey_file.parent)
    rows = np.rint(np.concatenate([data.train, data.test]) * 255).astype(np.uint8)
    assert {bytes(row) for row in rows} == {bytes(column) for column in frames.T}


def test_second_load_does_not_read_the_file_again(real_data, session_cache, monkeypatch):
    first = load("freyfaces", data_dir=real_data, cache_dir=session_cache)

    def fail(*args, **kwargs):
        raise AssertionError("read again")

    monkeypatch.setattr("scipy.io.loadmat", fail)
    second = load("freyfaces", data_dir=real_data, cache_dir=session_cache)
    np.testing.assert_array_equal(first.train, second.train)
