"""Which bits a run trains on and is evaluated on."""

import numpy as np

from experiments.problem import build, spaced_index
from experiments.scoring import evaluation_images
from experiments.settings import Settings


def built(binarization):
    return build(Settings(binarization=binarization, latent_size="2", hidden_size="4"))


def test_fixed_bits_are_trained_on_and_evaluated():
    problem = built("fixed")
    assert set(np.unique(problem.dataset.train)) == {0.0, 1.0}
    images = evaluation_images(problem, "train", 10)
    np.testing.assert_array_equal(images, problem.dataset.train[spaced_index(1_500, 10)])
    # Pixels that are half ink are bits of either kind.
    grey = built("per_minibatch").dataset.train
    assert 0.4 < problem.dataset.train[grey == 0.5].mean() < 0.6


def test_bits_of_an_image_do_not_depend_on_how_many_are_evaluated():
    problem = built("per_minibatch")
    few, all_of_them = (evaluation_images(problem, "test", size) for size in (10, 0))
    np.testing.assert_array_equal(few, all_of_them[spaced_index(297, 10)])
