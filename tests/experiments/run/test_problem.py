"""Which bits a run trains on and is evaluated on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.run.images import evaluation_images, spaced_index
from experiments.run.problem import build
from experiments.run.settings import Settings
from remjax.types import Batch


def built(binarization):
    return build(Settings(binarization=binarization, latent_size="2", hidden_size="4"))


def test_fixed_bits_are_trained_on_and_evaluated():
    problem = built("fixed")
    assert set(np.unique(problem.dataset.train)) == {0.0, 1.0}
    images = evaluation_images(problem.dataset, "train", 10)
    np.testing.assert_array_equal(images, problem.dataset.train[spaced_index(1_500, 10)])
    # Pixels that are half ink are bits of either kind.
    grey = built("per_minibatch").dataset.train
    assert 0.4 < problem.dataset.train[grey == 0.5].mean() < 0.6


def test_bits_of_an_image_do_not_depend_on_how_many_are_evaluated():
    problem = built("per_minibatch")
    few, all_of_them = (evaluation_images(problem.dataset, "test", size) for size in (10, 0))
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
    joints = [
        problem.parts.model.joint(params.theta, x)(jnp.ones(2)) for problem in (exact, rounded)
    ]
    assert joints[0] == joints[1]


@pytest.mark.parametrize("size", [None, 7])
def test_the_baseline_sees_centred_images_and_has_the_size_asked_for(size):
    shape = {"latent_size": "2", "hidden_size": "4", "method": "nvil", "model": "sigmoid_belief"}
    problem = build(Settings(num_particles=1, baseline_size=size, lagged=True, **shape))
    (params, state), key = problem.estimator.init(jax.random.key(0)), jax.random.key(1)
    # Of the mean image the tanh layer sees zeros, of which its weights learn nothing.
    mean = jnp.mean(jnp.asarray(problem.dataset.train), axis=0)

    def loss(baseline, x):
        batch = Batch(x[None], jnp.zeros(1, int))
        own = params._replace(baseline=baseline)
        return problem.estimator.estimate(own, state, key, batch)[0].eta_loss

    gradient = jax.jit(jax.grad(loss))
    weights = (problem.dataset.train.shape[1], size or 100)
    for x, learns in ((mean, False), (jnp.ones_like(mean), True)):
        leaves = jax.tree.leaves(gradient(params.baseline, x))
        largest = max(jnp.max(jnp.abs(leaf)) for leaf in leaves if leaf.shape == weights)
        assert (largest > 1e-6) == learns


def test_a_warm_up_is_of_the_method():
    """In the first update theta's prior stands still; after the last it learns."""
    shape = {"latent_size": "2", "hidden_size": "4", "model": "sigmoid_belief", "method": "rws"}
    problem = build(Settings(num_particles=3, warm_up=4, **shape))
    (params, state), key = problem.estimator.init(jax.random.key(0)), jax.random.key(1)
    batch = Batch(jnp.asarray(problem.dataset.train[:2]), jnp.arange(2))

    def loss(theta, state):
        own = params._replace(theta=theta)
        return problem.estimator.estimate(own, state, key, batch)[0].theta_loss

    gradient = jax.jit(jax.grad(loss))
    for updates in (0, 4):
        after = state._replace(updates=jnp.asarray(updates, jnp.int32))
        assert np.any(gradient(params.theta, after)["prior"]["top"]) == (updates > 0)


def test_no_baseline_learns_nothing():
    shape = {"latent_size": "2", "hidden_size": "4", "method": "nvil", "model": "sigmoid_belief"}
    problem = build(Settings(num_particles=1, baseline_size=0, **shape))
    assert not jax.tree.leaves(problem.estimator.init(jax.random.key(0))[0].baseline)
