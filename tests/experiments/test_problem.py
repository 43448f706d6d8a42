"""Which bits a run trains on and is evaluated on."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.problem import build, spaced_index
from experiments.scoring import evaluation_images
from experiments.settings import Settings
from remjax.types import Batch


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


def test_bfloat16_is_for_training_alone():
    settings = {"latent_size": "2", "hidden_size": "4", "num_particles": 8, "method": "iwae"}
    exact, rounded = build(Settings(**settings)), build(Settings(bfloat16=True, **settings))
    (params, state), key = exact.estimator.init(jax.random.key(0)), jax.random.key(1)
    x = jnp.asarray(exact.dataset.train[0])
    batch = Batch(x[None], jnp.zeros(1, int))
    losses = [
        problem.estimator.estimate(params, state, key, batch)[0].metrics["log_evidence"]
        for problem in (exact, rounded)
    ]
    assert 0.0 < abs(losses[0] - losses[1]) < 0.1
    joints = [problem.model.joint(params.theta, x)(jnp.ones(2)) for problem in (exact, rounded)]
    assert joints[0] == joints[1]
