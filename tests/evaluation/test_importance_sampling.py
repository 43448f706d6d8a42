"""Log-likelihoods against the exact ones."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax.distributions import Bernoulli
from remjax.errors import InputError
from remjax.evaluation import (
    Evaluation,
    blocks,
    from_curvature,
    from_recognition,
    log_likelihood,
    make_log_likelihood,
    two_stage,
)
from remjax.types import Joint
from tests import linear_gaussian

TRUTH = linear_gaussian.example()
MODEL = linear_gaussian.model(TRUTH)
EXACT = linear_gaussian.full_recognition(TRUTH)
DIAGONAL = linear_gaussian.diagonal_recognition(TRUTH)
DATA = TRUTH.sample(0, 45)
X = jnp.asarray(DATA, jnp.float32)
PARAMS = TRUTH.params(TRUTH.inclusive_eta)


@functools.cache
def compiled(proposal=from_recognition):
    return make_log_likelihood(MODEL, DIAGONAL, num_particles=400, proposal=proposal)


def test_exact_proposal_gives_the_exact_log_likelihood(key):
    params = TRUTH.params(TRUTH.exact_eta)
    result = log_likelihood(MODEL, EXACT, params, key, X, num_particles=60)
    exact = TRUTH.log_evidence(DATA)
    np.testing.assert_allclose(result.log_likelihood, exact, atol=2e-5)
    np.testing.assert_allclose(result.ess, 60.0, rtol=1e-4)
    np.testing.assert_allclose(result.mean, exact.mean(), atol=1e-5)
    np.testing.assert_allclose(result.stderr, exact.std(ddof=1) / np.sqrt(45), rtol=1e-4)


def test_other_proposals_come_within_their_error(key):
    """The delta method: log L_K has variance 1/ESS - 1/K and bias minus half of it; 5 errors."""
    result = compiled()(PARAMS, key, X)
    error = result.log_likelihood - TRUTH.log_evidence(DATA)
    variance = 1 / result.ess - 1 / 400
    bound = 5 * np.sqrt(variance.sum()) / len(error)
    assert abs(error.mean() + 0.5 * variance.mean()) < bound
    assert np.all(np.abs(error) < 8 * np.sqrt(variance))
    assert np.all(result.pareto_k < 0.7)


def test_two_stage_is_a_lower_bound_too(key):
    """Four seeds of 45 datapoints: below log p(x) + 5 errors, near it, and not plain L_K."""
    keys = jax.random.split(key, 4)
    results = [compiled(two_stage)(PARAMS, key, X).log_likelihood for key in keys]
    error = np.stack(results) - TRUTH.log_evidence(DATA)
    standard_error = error.std() / np.sqrt(error.size)
    assert error.mean() < 5 * standard_error
    assert error.mean() > -0.1
    assert not np.array_equal(results[0], compiled()(PARAMS, keys[0], X).log_likelihood)


def test_curvature_does_not_need_a_good_r(key):
    """r stands two of its standard deviations aside: L_400 with it is loose, from curvature not."""
    eta = PARAMS.eta | {"offset": PARAMS.eta["offset"] + 2 * jnp.exp(PARAMS.eta["log_scale"])}
    exact = TRUTH.log_evidence(DATA)
    plain = compiled()(TRUTH.params(eta), key, X)
    tight = compiled(from_curvature)(TRUTH.params(eta), key, X)
    assert np.abs(tight.log_likelihood - exact).max() < 0.2
    assert tight.ess.min() > 150 > plain.ess.mean()
    assert np.abs(tight.mean - exact.mean()) < np.abs(plain.mean - exact.mean())


def test_curvature_of_bits_is_refused(key):
    with pytest.raises(InputError, match="curvature needs latents of real numbers"):
        from_curvature(key, MODEL.joint(TRUTH.theta, X[0]), Bernoulli(jnp.zeros(2)), 3, 3)


@pytest.mark.parametrize("size", [1, 7, 45])
def test_results_do_not_depend_on_the_cut(size, key, monkeypatch):
    whole, told = compiled()(PARAMS, key, X), []
    monkeypatch.setattr(blocks, "_BLOCK", 7)
    cut = compiled()(PARAMS, key, X[:size], told.append)
    assert sum(told) == size
    for ours, theirs in zip(cut, whole, strict=True):
        assert ours.shape == (size,)
        np.testing.assert_allclose(ours, theirs[:size], rtol=1e-4, atol=1e-4)


def test_one_datapoint_has_no_standard_error():
    one = Evaluation(np.array([-3.0]), np.array([2.0]), np.array([0.1]))
    assert one.mean == -3.0
    assert np.isnan(one.stderr)


def test_one_bad_datapoint_does_not_spoil_the_others(key):
    model = MODEL._replace(
        log_likelihood=lambda theta, x, z: (
            MODEL.log_likelihood(theta, x, z) + jnp.where(x[0] == X[2, 0], jnp.nan, 0.0)
        )
    )
    result = make_log_likelihood(model, DIAGONAL, num_particles=20)(PARAMS, key, X[:5])
    assert np.isnan(result.log_likelihood[2])
    assert np.isfinite(np.delete(result.log_likelihood, 2)).all()


def test_errors(key):
    with pytest.raises(InputError, match="at least one datapoint"):
        compiled()(PARAMS, key, X[:0])
    with pytest.raises(InputError, match="num_particles is 0"):
        make_log_likelihood(MODEL, DIAGONAL, num_particles=0)


def test_two_stage_is_for_real_latents(key):
    joint = Joint(lambda _: jnp.zeros(()), lambda _: jnp.zeros(()), None)
    with pytest.raises(InputError, match="two-stage evaluation needs an r"):
        two_stage(key, joint, Bernoulli(jnp.zeros(2)), 3, 3)
