"""The ways to train a denoising model as values: what they make, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax import methods
from remjax.distributions import GaussianNoise, Masking, SaltAndPepper
from remjax.errors import InputError
from remjax.methods import (
    DenoisingMethod,
    denoising,
    learned_corruption,
    make_denoising_estimator,
    make_learned_denoising_estimator,
    walkback,
)
from remjax.types import Batch
from tests import denoising_tables as tables

MODEL = tables.table_model()
BATCH = Batch(jnp.asarray(tables.STATES[2:8], jnp.float32), jnp.arange(6))
CORRUPTION = SaltAndPepper(0.4)
CASES = {
    "denoising": (denoising(), make_denoising_estimator(MODEL, CORRUPTION)),
    "several": (denoising(3), make_denoising_estimator(MODEL, CORRUPTION, num_particles=3)),
    "walkback": (
        walkback(num_steps=4, num_corruptions=2),
        make_denoising_estimator(MODEL, CORRUPTION, num_steps=4, num_particles=2),
    ),
    "learned": (
        learned_corruption(num_corruptions=3, information=0.5),
        make_learned_denoising_estimator(MODEL, CORRUPTION, num_particles=3, information=0.5),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_value_makes_the_estimator_that_it_names(key, name):
    """The same losses and gradients at the same key, to the bit."""
    method, expected = CASES[name]

    def gradients(estimator):
        params, state = estimator.init(key)

        def losses(params):
            estimate = estimator.estimate(params, state, key, BATCH)[0]
            return estimate.theta_loss + estimate.eta_loss

        return jax.value_and_grad(losses)(params)

    found = gradients(method.make_estimator(MODEL, CORRUPTION))
    jax.tree.map(np.testing.assert_array_equal, found, gradients(expected))


def test_values_are_equal_where_they_are_made_alike():
    assert denoising() == denoising(1) == walkback(num_steps=1)
    assert walkback() == walkback(5) != walkback(3)
    assert learned_corruption() == learned_corruption(2, 1.0) != learned_corruption(2, 0.0)
    assert len({denoising(), walkback(), learned_corruption(), walkback(5)}) == 3
    assert str(walkback(3)) == "3 zbar of the chain from x"


def test_the_corruption_after_training():
    eta = Masking(0.3).parameter
    assert denoising().corruption_at(CORRUPTION, ()) is CORRUPTION
    learned = learned_corruption().corruption_at(Masking(0.9), eta)
    assert float(learned.rate) == pytest.approx(0.3)
    learned = learned_corruption().corruption_at(GaussianNoise(1.0), jnp.log(0.25))
    assert float(learned.scale) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: denoising(0), "num_corruptions is 0: give 1 or more"),
        (lambda: walkback(0), "num_steps is 0: give at least 1 step"),
        (lambda: learned_corruption(0), "num_corruptions is 0: give 1 or more"),
        (lambda: learned_corruption(2, -1.0), "information is -1.0: give 1 for the bound"),
        (lambda: learned_corruption(1).make_estimator(MODEL, CORRUPTION), "num_corruptions is 1"),
    ],
)
def test_wrong_input(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_public_functions_are_the_methods():
    made = [getattr(methods, name)() for name in ("denoising", "walkback", "learned_corruption")]
    assert all(isinstance(method, DenoisingMethod) for method in made)
