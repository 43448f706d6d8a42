"""Users' own images are checked, and splits depend on the seed alone."""

import numpy as np
import pytest

from remjax.data import check_images
from remjax.data.dataset import seeded_split, to_unit_interval
from remjax.errors import InputError


@pytest.mark.parametrize(
    "x", [np.eye(3), np.eye(3, dtype=np.uint8), np.eye(3, dtype=bool), [[0.0, 0.5], [1.0, 0.25]]]
)
def test_check_images_gives_float32_with_the_same_values(x):
    images = check_images(x, "mine")
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images, np.asarray(x, np.float32))


def test_check_images_does_not_copy_what_is_right_already():
    x = np.zeros((2, 3), np.float32)
    assert check_images(x, "mine") is x


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        (np.array([[0.0, 1.0], [np.nan, 0.0]]), "row 1 holds nan: drop or impute that"),
        (np.array([[0.0, np.inf]]), "row 0 holds inf: drop or impute that row"),
        (np.array([[0.0, -0.1]]), r"row 0 holds -0.1 and values must lie in \[0, 1\]"),
        (np.full((2, 2), 255, np.uint8), "divide bytes by 255"),
        (np.zeros((2, 4, 4)), "reshape"),
        (np.zeros(4), "rank 1"),
        (np.zeros((0, 4)), "no pixels"),
        (np.zeros((4, 0)), "no pixels"),
        (np.array([["a"]]), "data of type <U1: give bools, integers or floats"),
        (np.zeros((2, 2), complex), "data of type complex128"),
        ([[0.0], [0.0, 1.0]], "unequal length"),
        (np.array([[None]]), "data of type object"),
    ],
)
def test_check_images_says_in_one_line_what_is_wrong(x, reason):
    with pytest.raises(InputError, match=f"^mine: .*{reason}") as caught:
        check_images(x, "mine")
    assert "\n" not in str(caught.value)


def test_grey_levels_become_the_unit_interval():
    levels = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
    pixels = to_unit_interval(levels, 255)
    assert pixels.shape == (4, 64)
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(
        pixels.ravel(), np.arange(256, dtype=np.float32) / np.float32(255)
    )


def test_split_is_a_partition_that_the_seed_decides():
    images = np.arange(100, dtype=np.float32)[:, None]
    train, test = seeded_split(images, 70, 30, seed=3)
    assert sorted([*train[:, 0], *test[:, 0]]) == list(range(100))
    np.testing.assert_array_equal(train, seeded_split(images, 70, 30, seed=3)[0])
    assert not np.array_equal(train, seeded_split(images, 70, 30, seed=4)[0])


def test_split_is_the_same_for_ever():
    """The order is part of every published number, so it must not change with a release."""
    images = np.arange(10, dtype=np.float32)[:, None]
    train, test = seeded_split(images, 6, 4, seed=0)
    assert [int(n) for n in (*train[:, 0], *test[:, 0])] == [3, 2, 1, 8, 6, 0, 7, 4, 5, 9]


def test_negative_seed_is_refused():
    with pytest.raises(InputError, match="seed is -1"):
        seeded_split(np.zeros((2, 1), np.float32), 1, 1, seed=-1)
