"""The methods' gradients are, in expectation, those of their plain forms, written independently."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import one_shot
from remjax.methods.importance_weighted import iwae
from remjax.methods.method import make_estimator
from remjax.methods.proposals import from_r
from remjax.methods.rem import rem, rem_v1
from remjax.methods.row import Particles
from remjax.methods.wake_sleep import rws
from remjax.particles.covariances import weighted
from tests import linear_gaussian
from tests.gradients import gradients_of

TRUTH = linear_gaussian.example()
MODEL, RECOGNITION = linear_gaussian.model(TRUTH), linear_gaussian.diagonal_recognition(TRUTH)
PARAMS = TRUTH.params({name: leaf + 0.3 for name, leaf in TRUTH.inclusive_eta.items()})
X = TRUTH.sample(0, 1)[0]
NUM_KEYS = 4000


@functools.cache
def plain(method):
    """Gradients of the plain form, one row per key."""
    objective = method(MODEL, RECOGNITION, 6)
    descent = jax.grad(lambda params, key: -objective(params, key, jnp.asarray(X, jnp.float32)))
    keys = jax.random.split(jax.random.key(1), NUM_KEYS)
    return jax.jit(jax.vmap(descent, in_axes=(None, 0)))(PARAMS, keys)


@pytest.mark.parametrize(
    ("method", "keep", "form"),
    [
        (iwae, None, one_shot.iwae),
        (iwae, 2, one_shot.iwae),
        (rws(), None, one_shot.rws),
        (rws(), 2, one_shot.rws),
        # REM with s replaced by r is reweighted wake-sleep.
        (rem(from_r, from_r), None, one_shot.rws),
        (rem_v1(weighted()), None, one_shot.rem_v1),
    ],
    ids=["iwae", "iwae keep", "rws", "rws keep", "rem of r and r", "rem_v1"],
)
def test_mean_gradient_is_that_of_the_plain_form(method, keep, form):
    """Six particles, 4,000 keys of each; five standard errors of the difference."""
    estimator = make_estimator(MODEL, RECOGNITION, method, Particles(6, keep=keep))
    ours = gradients_of(estimator)(PARAMS, X, jax.random.split(jax.random.key(2), NUM_KEYS))
    for row, other in zip(jax.tree.leaves(ours), jax.tree.leaves(plain(form)), strict=True):
        error = np.sqrt((row.var(axis=0) + np.var(other, axis=0)) / NUM_KEYS)
        difference = row.mean(axis=0) - np.mean(other, axis=0)
        assert np.all(np.abs(difference) < 5 * error), (difference, error)
