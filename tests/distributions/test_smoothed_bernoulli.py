"""Smoothed bits: a density against NumPy in float64 and by quadrature, draws, extremes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from jax.tree_util import Partial

from remjax.distributions import (
    Bernoulli,
    Concrete,
    Groups,
    OverlappingExponentials,
    PiecewiseLinear,
    PowerFunction,
    RelaxedBernoulli,
    SmoothedBernoulli,
    SpikeAndExponential,
    StraightThrough,
    as_smoothing,
)
from remjax.errors import InputError

LOGITS = jnp.array([-1.5, 0.3])
SMOOTHINGS = pytest.mark.parametrize(
    "smoothing",
    [PowerFunction(), PowerFunction(1.5), OverlappingExponentials(), OverlappingExponentials(0.5)],
    ids=str,
)


def densities(smoothing, zeta):
    """r(zeta | 0) and r(zeta | 1) in float64."""
    beta = smoothing.beta
    if isinstance(smoothing, PowerFunction):
        return zeta ** (1 / beta - 1) / beta, (1 - zeta) ** (1 / beta - 1) / beta
    size = (1 - np.exp(-beta)) / beta
    return np.exp(-beta * zeta) / size, np.exp(beta * (zeta - 1)) / size


@SMOOTHINGS
def test_the_density_is_the_mixture(smoothing):
    zeta = np.random.default_rng(0).uniform(0.01, 0.99, (50, 2))
    zero, one = densities(smoothing, zeta)
    found = smoothing.log_densities(jnp.asarray(zeta, jnp.float32))
    np.testing.assert_allclose(found, np.log([zero, one]), rtol=1e-5, atol=1e-5)
    q = scipy.special.expit(np.float64(LOGITS))
    expected = np.sum(np.log((1 - q) * zero + q * one), axis=1)
    own = SmoothedBernoulli(LOGITS, smoothing)
    log_prob = jax.vmap(own.log_prob)(jnp.asarray(zeta, jnp.float32))
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("smoothing", [PowerFunction(1.5), OverlappingExponentials()], ids=str)
def test_the_density_has_an_integral_of_one(smoothing):
    """By midpoints in the logit of zeta, as far as float32 has numbers below one."""
    logit = np.linspace(-40.0, 16.0, 701)
    zeta = jnp.asarray(scipy.special.expit(logit), jnp.float32)
    slope = scipy.special.expit(logit) * scipy.special.expit(-logit) * (logit[1] - logit[0])
    own = SmoothedBernoulli(LOGITS, smoothing)
    pairs = jnp.stack(jnp.meshgrid(zeta, zeta), axis=-1).reshape(-1, 2)
    mass = np.exp(np.float64(jax.vmap(own.log_prob)(pairs))) @ np.outer(slope, slope).ravel()
    np.testing.assert_allclose(mass, 1.0, atol=2e-4)


@SMOOTHINGS
def test_draws_are_those_of_relaxed_bits(key, smoothing):
    own, relaxed = SmoothedBernoulli(LOGITS, smoothing), RelaxedBernoulli(LOGITS, smoothing)
    np.testing.assert_array_equal(own.rsample(key), relaxed.rsample(key))
    ours, theirs = (jax.grad(lambda of: jnp.sum(of.rsample(key)))(of) for of in (own, relaxed))
    np.testing.assert_array_equal(ours.logits, theirs.logits)


def test_what_they_say_of_themselves():
    own = SmoothedBernoulli(LOGITS, PowerFunction())
    assert (own.is_discrete, own.is_relaxed, own.is_normalized) == (False, False, True)
    assert own.smoothed_by == PowerFunction()
    assert isinstance(own.hard(), Bernoulli)
    assert own.kl_divergence(Bernoulli(LOGITS)) is None
    groups = Groups(own, (Partial(lambda before: own),), sizes=(2, 2))
    assert groups.smoothed_by == PowerFunction()
    assert (groups.hard().smoothed_by, groups.hard().is_discrete) == (None, True)
    assert RelaxedBernoulli(LOGITS, PowerFunction()).smoothed_by is None


@pytest.mark.parametrize("smoothing", [PowerFunction(), OverlappingExponentials()], ids=str)
def test_extremes_are_finite(smoothing):
    """Log odds of +-50 at zeta at the ends and next to them, value and gradients."""
    ends = jnp.array([0.0, 1e-38, 1e-20, 0.5, 1.0 - 6e-8, 1.0])
    logits, zeta = (jnp.ravel(leaf) for leaf in jnp.meshgrid(jnp.array([-50.0, 50.0]), ends))

    def log_prob(logits, zeta):
        return SmoothedBernoulli(logits, smoothing).log_prob(zeta)

    found = jax.value_and_grad(log_prob, (0, 1))(logits, zeta)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(found))


@pytest.mark.parametrize(
    "relaxation", [Concrete(), PiecewiseLinear(), StraightThrough(), SpikeAndExponential(), None]
)
def test_only_a_mixture_of_two_densities_smooths(relaxation):
    with pytest.raises(InputError, match="which has no density for each of the two bits: give d"):
        as_smoothing(relaxation)
