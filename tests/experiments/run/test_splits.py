"""Which images train and which test."""

import numpy as np
import pytest

from experiments.run.splits import iwae_release_split, release_split, split_with_validation
from remjax.data import Dataset
from remjax.errors import InputError


def _dataset(valid):
    images = np.arange(6, dtype=np.float32)[:, None] / 6
    return Dataset("x", images[:3], images[3 : 3 + valid], images[5:], (1, 1), True, False, "file")


def test_release_trains_on_what_it_scores():
    split = release_split(_dataset(2))
    np.testing.assert_array_equal(split.train[:, 0] * 6, [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(split.test[:, 0] * 6, [3, 4])
    assert "trained on train + valid" in split.source
    with pytest.raises(InputError, match="--split=rem_release needs a validation part"):
        release_split(_dataset(0))


def _numbered(name, count):
    images = np.arange(count, dtype=np.float32)[:, None] / count
    return Dataset(name, images, images[:0], images[:2], (1, 1), False, False, "file")


def test_split_of_the_iwae_release():
    mnist = iwae_release_split(_numbered("mnist", 60_000))
    assert (len(mnist.train), len(mnist.valid)) == (59_600, 400)
    np.testing.assert_array_equal(mnist.valid, _numbered("mnist", 60_000).train[-400:])
    omniglot = iwae_release_split(_numbered("omniglot", 24_345))
    assert (len(omniglot.train), len(omniglot.valid)) == (23_000, 1_345)
    both = np.concatenate([omniglot.train, omniglot.valid])[:, 0] * 24_345
    assert sorted(np.rint(both)) == list(range(24_345))
    assert "trained on 23000" in omniglot.source
    # Every 20th would be one in 20 of the last 1,345 as well: permuted, not cut off.
    assert np.mean(omniglot.valid) == pytest.approx(0.5, abs=4 * 0.29 / 1_345**0.5)
    fixed = _numbered("binarized_mnist", 9)
    assert iwae_release_split(fixed) is fixed


def test_validation_images_may_train_too():
    split = split_with_validation(_dataset(2))
    np.testing.assert_array_equal(split.train[:, 0] * 6, [0, 1, 2, 3, 4])
    assert len(split.valid) == 0
    np.testing.assert_array_equal(split.test, _dataset(2).test)
    with pytest.raises(InputError, match="--split=with_validation needs a validation part"):
        split_with_validation(_dataset(0))
