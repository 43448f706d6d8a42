"""The covariances of s against NumPy float64, a Cholesky that never fails, s at its edges."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax.distributions import Bernoulli, Categorical, DiagonalGaussian, Distribution
from remjax.distributions.gaussian import scale_tril
from remjax.errors import InputError
from remjax.particles.covariances import (
    MeanVariance,
    shrunk,
    shrunk_with_mean,
    tempered,
    tempered_with_mean,
    unweighted,
    weighted,
)
from remjax.particles.matching import match
from remjax.particles.moments import particle_moments
from tests.weighted_particles import moments_of, oracle

CHOICES = {
    choice.__name__: choice
    for choice in (weighted, unweighted, shrunk, shrunk_with_mean, tempered, tempered_with_mean)
}
RNG = np.random.default_rng(0)


def test_covariance_choices_against_float64():
    log_w, particles = RNG.normal(0, 2, 30), RNG.normal(size=(30, 3))
    loc, variance = np.array([0.5, -1.0, 2.0]), np.array([1.0, 4.0, 9.0])
    _, ess, mean, covariance = oracle(log_w, particles, 1.0)
    centred = particles - mean
    share = 3 / (ess + 3)  # of the proposal, in a mixture of both
    mixed = (1 - share) * mean + share * loc
    around_mixed = (1 - share) * np.outer(mean - mixed, mean - mixed)
    around_mixed += share * np.outer(loc - mixed, loc - mixed)
    within = (1 - share) * covariance + share * np.diag(variance)
    expected = {
        "weighted": (mean, covariance),
        "unweighted": (mean, centred.T @ centred / 29),
        "shrunk": (mean, within),
        "shrunk_with_mean": (mixed, within + around_mixed),
    }
    proposal = MeanVariance(jnp.asarray(loc), jnp.asarray(variance))
    for name, values in expected.items():
        choice = CHOICES[name]()
        matched = choice.match(moments_of(log_w, particles, choice.powers), proposal, 30)
        for ours, value in zip(matched, values, strict=True):
            np.testing.assert_allclose(ours, value, rtol=1e-4, atol=1e-5, err_msg=name)


def test_shrunk_with_mean_is_no_wider_than_the_proposal_where_one_particle_is_heavy():
    """Or r, fitted to s, would grow: E[Sigma_dd + (mean_d - loc_d)^2] is the variance of r."""
    loc, scale, particles = 3.0, 2.0, 3.0 + 2.0 * RNG.normal(size=(4000, 5))
    proposal = MeanVariance(jnp.full(5, loc), jnp.full(5, scale**2))

    def second_moment(heavy):
        moments = particle_moments(jnp.zeros(1), heavy[None], jnp.ones(1), (1.0,))
        mean, sigma = shrunk_with_mean().match(moments, proposal, 5)
        return jnp.diagonal(sigma) + (mean - loc) ** 2

    # 20,000 independent squares of relative standard deviation sqrt(2), a sixth of which counts.
    average = jnp.mean(jax.vmap(second_moment)(jnp.asarray(particles, jnp.float32)))
    np.testing.assert_allclose(average, scale**2, rtol=5 * np.sqrt(2 / 20_000) / 6)


@pytest.mark.parametrize(("spread", "size"), [(0.1, 30), (2.0, 30), (200.0, 30), (1.0, 4)])
def test_tempered_takes_the_first_power_with_enough_particles(spread, size):
    log_w, particles = spread * RNG.normal(size=size), RNG.normal(size=(size, 3))
    choice = tempered()
    enough = [p for p in choice.powers if oracle(log_w, particles, p)[1] >= 6] or [0.0]
    expected = oracle(log_w, particles, enough[0])[3]
    moments = moments_of(log_w, particles, choice.powers)
    mean, sigma = choice.match(moments, MeanVariance(jnp.zeros(3), jnp.ones(3)), size)
    np.testing.assert_allclose(mean, oracle(log_w, particles, 1.0)[2], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(sigma, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("spread", "size", "target"),
    [(0.1, 40, 10.0), (2.0, 40, 10.0), (200.0, 40, 10.0), (2.0, 6, 10.0)],
)
def test_mean_and_covariance_are_tempered_together(spread, size, target):
    """Both under one power; the covariance shrunk by g = D / (ESS + D) with that power's ESS."""
    log_w, particles = spread * RNG.normal(size=size), RNG.normal(size=(size, 3))
    of_r = MeanVariance(jnp.zeros(3), jnp.array([1.0, 4.0, 9.0]))
    choice = tempered_with_mean(target)
    enough = [p for p in choice.powers if oracle(log_w, particles, p)[1] >= target] or [0.0]
    _, ess, expected_mean, covariance = oracle(log_w, particles, enough[0])
    g = 3 / (ess + 3)
    expected = (1 - g) * covariance + g * np.diag([1.0, 4.0, 9.0])
    mean, sigma = choice.match(moments_of(log_w, particles, choice.powers), of_r, size)
    np.testing.assert_allclose(mean, expected_mean, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(sigma, expected, rtol=1e-3, atol=1e-5)


def test_a_target_of_tempering_is_a_number_of_particles():
    assert tempered_with_mean(5.0) == tempered_with_mean(5.0) != tempered_with_mean()
    assert str(tempered_with_mean()) == "tempered_with_mean(10)"
    for target in (0.5, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match=r"^target_ess is .*: give a number of particles"):
            tempered_with_mean(target)


# Cholesky factors that never fail


def hostile_covariances(dimension):
    """Positive semidefinite: scales from 1e-6 to 1e6, mixed, deficient in rank; then indefinite."""
    rng = np.random.default_rng(dimension)
    mixed = 10.0 ** np.linspace(-6, 6, dimension)
    few = rng.normal(size=(max(1, dimension // 2), dimension))
    factor = rng.normal(size=(dimension, dimension))
    semidefinite = [
        1e-12 * np.eye(dimension),
        1e12 * np.eye(dimension),
        np.zeros((dimension, dimension)),
        np.ones((dimension, dimension)),  # rank one
        np.outer(mixed, mixed),  # rank one, mixed scales
        few.T @ few,  # fewer particles than dimensions
        1e12 * few.T @ few,
        1e-12 * few.T @ few,
        factor @ factor.T,
        mixed[:, None] * (factor @ factor.T) * mixed,
    ]
    symmetric = factor + factor.T
    indefinite = [symmetric, 1e12 * symmetric, -np.eye(dimension), -1e-12 * factor @ factor.T]
    indefinite.append(np.full((dimension, dimension), np.inf))  # as the squares of 1e20 are
    return np.stack(semidefinite), np.stack(indefinite)


@pytest.mark.parametrize("dimension", [1, 2, 5, 20, 100])
def test_scale_tril_never_fails(dimension):
    semidefinite, indefinite = hostile_covariances(dimension)
    batch = jnp.asarray(np.concatenate([semidefinite, indefinite]), jnp.float32)
    with jax.debug_nans(True):
        factors = np.asarray(jax.jit(jax.vmap(scale_tril))(batch), np.float64)
    assert np.all(np.isfinite(factors))
    np.testing.assert_array_equal(factors, np.tril(factors))
    assert np.all(np.diagonal(factors, axis1=1, axis2=2) > 0.0)
    # Close to a covariance that is one, in units of its own scales: the ridge and float32.
    sigma = np.asarray(batch[: len(semidefinite)], np.float64)
    scale = np.sqrt(np.maximum(np.diagonal(sigma, axis1=1, axis2=2), 1e-24))
    error = factors[: len(semidefinite)] @ factors[: len(semidefinite)].swapaxes(1, 2) - sigma
    relative = np.abs(error) / scale[:, :, None] / scale[:, None, :]
    assert relative.max() < 5 * dimension * (dimension + 1) * np.finfo(np.float32).eps


def test_a_thousandth_of_the_deviation_of_r_is_added_to_the_diagonal():
    """epsilon^2 of the variance, at each coordinate's own scale; alone where nothing varies."""
    scale = np.array([3e3, 0.5])
    r = DiagonalGaussian(jnp.zeros(2), jnp.asarray(scale, jnp.float32))
    own = MeanVariance(r.mean, r.variance)
    log_w, particles = RNG.normal(size=9), RNG.normal(size=(9, 2)) * 1e-3 * scale
    sigma, floor = oracle(log_w, particles, 1.0)[3], np.diag((1e-3 * scale) ** 2)
    for spread, of_particles in ((1.0, sigma), (0.0, np.zeros((2, 2)))):
        moments = moments_of(log_w, spread * particles, (1.0,))
        factor = np.asarray(match(r, moments, own, 9, weighted()).scale_tril, np.float64)
        np.testing.assert_allclose(factor @ factor.T, of_particles + floor, rtol=1e-4, atol=1e-9)


@functools.partial(jax.jit, static_argnames="choice")
@functools.partial(jax.vmap, in_axes=(0, 0, 0, None))
def matched(log_w, particles, variance, choice):
    """s for a proposal whose mean is twice its standard deviation."""
    chosen = CHOICES[choice]()
    moments = particle_moments(log_w, particles, jnp.ones(len(log_w)), chosen.powers)
    proposal = MeanVariance(2.0 * jnp.sqrt(variance), variance)
    r = DiagonalGaussian(proposal.mean, jnp.sqrt(variance))
    s = match(r, moments, proposal, len(log_w), chosen)
    return s.loc, s.scale_tril, s.log_prob(s.loc + s.scale_tril @ jnp.ones(len(variance)))


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("size", [1, 3])
def test_gaussian_s_at_the_edges(choice, size):
    """One particle or fewer than D = 4; duplicates; tiny, huge and mixed scales; none possible."""
    rng = np.random.default_rng(1)
    scales = np.stack([1e-6 * np.ones(4), 1e6 * np.ones(4), 10.0 ** np.array([-6, 0, 3, 6])])
    scales = np.concatenate([scales, np.ones((5, 4))])
    particles = rng.normal(size=(8, size, 4)) * scales[:, None, :]
    particles[3] = particles[3, :1]  # duplicates
    log_w = rng.normal(size=(8, size))
    log_w[4] = -np.inf
    log_w[5, 1:] = -np.inf  # all the weight on one
    log_w[6] = np.linspace(-1e4, 0, size)
    arrays = (jnp.asarray(a, jnp.float32) for a in (log_w, particles, scales**2))
    with jax.debug_nans(True):
        loc, factor, log_prob = matched(*arrays, choice)
    for value in (loc, factor, log_prob):
        assert np.all(np.isfinite(value))
    deviation = np.sqrt(np.sum(np.square(factor), axis=-1))
    assert np.all(deviation >= 0.99e-3 * scales)
    uninformed = range(8) if size == 1 else [4]
    for row in uninformed:  # nothing known: the proposal itself
        np.testing.assert_allclose(loc[row], 2.0 * scales[row], rtol=1e-5)
        np.testing.assert_allclose(deviation[row], scales[row], rtol=1e-3)


KINDS = {
    "bits": Bernoulli(jnp.array([0.4, -0.4, 1.5])),
    "categories": Categorical(jnp.array([[0.4, -0.4, 1.5]])),
}


@pytest.mark.parametrize("r", KINDS.values(), ids=KINDS)
def test_discrete_s_has_the_means_and_never_loses_a_value(r):
    """The weighted means, or those shrunk toward r's by g = D / (ESS + D); then r's own means.

    Those where the weights leave no information: one particle, or none possible.
    """
    particles = np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    log_w = np.log([0.5, 0.3, 0.2])
    own, plain = MeanVariance(r.mean, r.variance), np.asarray(r.mean)

    def means(log_w, covariance):
        moments = moments_of(log_w, particles[: len(log_w)], covariance.powers)
        s = match(r, moments, own, len(log_w), covariance)
        assert type(s) is type(r)
        return s.mean

    least = 0.01 if isinstance(r, Bernoulli) else 0.02 / 3
    floored = np.array([least, 0.8, 0.2])
    if isinstance(r, Categorical):
        floored /= floored.sum()
    np.testing.assert_allclose(means(log_w, weighted()), floored, rtol=1e-5)
    share = 3.0 / (1.0 / (0.25 + 0.09 + 0.04) + 3.0)
    expected = (1.0 - share) * np.array([0.0, 0.8, 0.2]) + share * plain
    np.testing.assert_allclose(means(log_w, shrunk_with_mean()), expected, rtol=1e-5)
    for nothing in (np.zeros(1), np.full(3, -np.inf)):
        for covariance in (weighted(), shrunk_with_mean()):
            np.testing.assert_allclose(means(nothing, covariance), plain, rtol=1e-5)


class Unmatched(Distribution):
    def rsample(self, key):
        return jax.random.normal(key, (2,))

    def log_prob(self, z):
        return -0.5 * jnp.sum(z**2)


def test_a_kind_that_is_not_known_by_its_moments_is_refused():
    moments = moments_of(np.zeros(3), np.ones((3, 2)), (1.0,))
    with pytest.raises(InputError, match=r"of the kind Unmatched .* choose a proposal without s"):
        match(Unmatched(), moments, MeanVariance(jnp.zeros(2), jnp.ones(2)), 3, weighted())


def test_strength_of_shrinkage_is_a_number_of_particles_of_r():
    """g = c D / (ESS + c D); c = 0 is the weighted covariance, and equal strengths are equal."""
    particles, log_w = jax.random.normal(jax.random.key(0), (9, 2)), jnp.linspace(0.0, 2.0, 9)
    moments = particle_moments(log_w, particles, jnp.ones(9), (1.0,))
    of_r = MeanVariance(jnp.array([0.5, -1.0]), jnp.array([4.0, 9.0]))
    g = 6.0 / (float(moments.ess[0]) + 6.0)
    mean, covariance = shrunk_with_mean(strength=3.0).match(moments, of_r, 9)
    shift = of_r.mean - moments.mean[0]
    np.testing.assert_allclose(mean, moments.mean[0] + g * shift, rtol=1e-5)
    expected = (1 - g) * moments.covariance[0] + g * jnp.diag(of_r.variance)
    np.testing.assert_allclose(
        covariance, expected + g * (1 - g) * jnp.outer(shift, shift), rtol=1e-5
    )
    np.testing.assert_allclose(
        shrunk(0.0).match(moments, of_r, 9)[1], weighted().match(moments, of_r, 9)[1], rtol=1e-6
    )
    assert shrunk(3.0) == shrunk(3.0) != shrunk()
    assert (str(shrunk(3.0)), str(shrunk_with_mean())) == ("shrunk(3)", "shrunk_with_mean")
