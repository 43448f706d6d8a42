"""A machine of smoothed bits against sums over all of its bits: value, gradients, extremes."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from remjax.boltzmann import RBM, NormalizedMachine, Reals, SmoothedMachine, log_partition
from remjax.distributions import (
    Bernoulli,
    OverlappingExponentials,
    PowerFunction,
    SmoothedBernoulli,
)
from remjax.errors import InputError

STATES = np.array(list(itertools.product((0.0, 1.0), repeat=5)), np.float32)
SMOOTHINGS = pytest.mark.parametrize(
    "smoothing", [PowerFunction(), OverlappingExponentials()], ids=str
)


def machine(scale, sizes=(3, 2)):
    rng = np.random.default_rng(0)
    shapes = (sizes, sizes[:1], sizes[1:])
    weights, a, b = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes)
    return RBM(scale * weights, a, b)


def smoothed(of, smoothing, **options):
    return SmoothedMachine(NormalizedMachine(of, log_partition(of)), smoothing, **options)


def log_prob(of, smoothing, zeta):
    """log sum_z p(z) prod_i r(zeta_i | z_i), state by state."""
    states = jnp.asarray(STATES)
    visible, hidden = states[:, :3], states[:, 3:]
    gain = visible @ of.visible_bias + hidden @ of.hidden_bias
    gain += jnp.sum((visible @ of.weights) * hidden, axis=1)
    zero, one = smoothing.log_densities(zeta)
    given = jnp.sum(jnp.where(states == 1.0, one, zero), axis=1)
    return jax.nn.logsumexp(gain + given) - jax.nn.logsumexp(gain)


def numbers(smoothing, count, dimension=5):
    """Draws with fair bits: those far from the ends among them."""
    own = SmoothedBernoulli(jnp.zeros(dimension), smoothing)
    return jax.vmap(own.sample)(jax.random.split(jax.random.key(3), count))


@SMOOTHINGS
@pytest.mark.parametrize(("scale", "mean", "most"), [(0.3, 1e-3, 0.02), (1.0, 5e-3, 0.2)])
def test_it_lies_below_the_sum_over_bits_and_close(smoothing, scale, mean, most):
    of = machine(scale)
    zeta = numbers(smoothing, 500)
    found = jax.jit(jax.vmap(smoothed(of, smoothing).log_prob))(zeta)
    gap = jax.vmap(lambda one: log_prob(of, smoothing, one))(zeta) - found
    assert np.min(gap) > -1e-4  # rounding
    assert (np.mean(gap) < mean, np.max(gap) < most) == (True, True)


@SMOOTHINGS
def test_without_couplings_it_is_exact(smoothing):
    of, zeta = machine(0.0), numbers(smoothing, 20)
    biases = jnp.concatenate([of.visible_bias, of.hidden_bias])
    found = jax.vmap(smoothed(of, smoothing).log_prob)(zeta)
    expected = jax.vmap(SmoothedBernoulli(biases, smoothing).log_prob)(zeta)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_more_sweeps_do_not_lower_the_bound():
    of, smoothing = machine(3.0), OverlappingExponentials(1.0)
    zeta = numbers(smoothing, 200)
    found = [
        jax.vmap(smoothed(of, smoothing, num_sweeps=count).log_prob)(zeta) for count in (1, 5, 50)
    ]
    assert np.all(np.diff(found, axis=0) > -1e-4)
    assert np.mean(found[1] - found[0]) > 1e-3


def test_the_density_has_an_integral_of_one():
    """Of 1 + 1 units, by midpoints in the logit of zeta; a bound of it less, by a little."""
    logit = np.linspace(-40.0, 16.0, 401)
    zeta = jnp.asarray(scipy.special.expit(logit), jnp.float32)
    slope = scipy.special.expit(logit) * scipy.special.expit(-logit) * (logit[1] - logit[0])
    pairs = jnp.stack(jnp.meshgrid(zeta, zeta), axis=-1).reshape(-1, 2)
    of = smoothed(machine(1.0, (1, 1)), OverlappingExponentials())
    mass = np.exp(np.float64(jax.vmap(of.log_prob)(pairs))) @ np.outer(slope, slope).ravel()
    assert 0.998 < mass < 1.0002


@SMOOTHINGS
def test_gradients_at_weak_couplings_are_those_of_the_sum(smoothing):
    """In zeta, times zeta (1 - zeta), and in the machine, with log Z differentiated."""
    of = machine(0.1)
    zeta = jnp.clip(numbers(smoothing, 50), 1e-4, 1.0 - 1e-4)

    def bound(of, zeta):
        return smoothed(of, smoothing).log_prob(zeta)

    ours, theirs = (
        jax.vmap(jax.grad(function, (0, 1)), (None, 0))(of, zeta)
        for function in (bound, lambda of, zeta: log_prob(of, smoothing, zeta))
    )
    slope = zeta * (1.0 - zeta)
    np.testing.assert_allclose(slope * ours[1], slope * theirs[1], atol=5e-3)
    for found, expected in zip(*map(jax.tree.leaves, (ours[0], theirs[0])), strict=True):
        np.testing.assert_allclose(found, expected, atol=5e-3)


def test_at_a_fixed_point_the_gradient_is_that_of_the_bound():
    """Finite differences of the bound itself, its means free to move, at strong couplings."""
    of, smoothing = machine(2.0), OverlappingExponentials(2.0)
    zeta = jnp.array([0.4, 0.7, 0.3, 0.6, 0.2])

    def bound(shift, size):
        moved = dataclasses.replace(of, weights=of.weights + size * shift)
        log_z = log_partition(of)
        return SmoothedMachine(NormalizedMachine(moved, log_z), smoothing, num_sweeps=200).log_prob(
            zeta
        )

    shift = jnp.asarray(np.random.default_rng(1).normal(size=(3, 2)), jnp.float32)
    found = jax.grad(bound, 1)(shift, 0.0)
    width = 1e-2
    expected = (bound(shift, width) - bound(shift, -width)) / (2 * width)
    np.testing.assert_allclose(found, expected, rtol=5e-3)


@SMOOTHINGS
def test_extremes_are_finite(smoothing):
    """Biases of +-50, strong couplings, zeta at the ends and next to them."""
    of = machine(20.0)
    of = dataclasses.replace(of, visible_bias=jnp.array([-50.0, 50.0, 0.0]))
    ends = jnp.array([0.0, 1e-38, 0.5, 1.0 - 6e-8, 1.0])

    def bound(of, zeta):
        return SmoothedMachine(NormalizedMachine(of, jnp.zeros(())), smoothing).log_prob(zeta)

    found = jax.vmap(jax.value_and_grad(bound, (0, 1)), (None, 0))(
        of, jnp.stack([jnp.roll(ends, place) for place in range(5)])
    )
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(found))


@pytest.mark.parametrize(
    ("smoothing", "of_one"),
    [
        (OverlappingExponentials(4.0), 1 / (1 - np.exp(-4.0)) - 1 / 4.0),
        (PowerFunction(30.0), 30.0 / 31.0),
    ],
    ids=["exponentials", "power"],
)
def test_draws_have_the_moments_of_the_density(key, smoothing, of_one):
    """E[zeta] of each unit from the exact mean of its bit; five standard errors of 4,000 draws."""
    of = machine(1.0)
    own = smoothed(of, smoothing)
    weights = jax.nn.softmax(jax.vmap(own.bits.log_prob)(jnp.asarray(STATES)))
    samples = NormalizedMachine(of, own.bits.log_z, jnp.asarray(STATES[:, :3]), jnp.log(weights))
    own = dataclasses.replace(own, bits=samples)
    zeta = np.asarray(jax.vmap(own.sample)(jax.random.split(key, 4000)))
    mean = weights @ STATES
    expected = (1 - mean) * (1 - of_one) + mean * of_one
    error = zeta.std(axis=0) / np.sqrt(len(zeta))
    assert np.all(np.abs(zeta.mean(axis=0) - expected) < 5 * error)


def test_what_it_says_of_itself_and_refuses(key):
    of, smoothing = machine(1.0), PowerFunction()
    own = smoothed(of, smoothing)
    assert (own.is_discrete, own.is_relaxed, own.smoothed_by) == (False, False, smoothing)
    assert own.hard() is own.bits
    assert own.kl_divergence(Bernoulli(jnp.zeros(5))) is None
    with pytest.raises(InputError, match="have no gradient: use its log_prob"):
        own.rsample(key)
    with pytest.raises(InputError, match="log Z is not known"):
        SmoothedMachine(NormalizedMachine(of), smoothing).log_prob(jnp.full(5, 0.5))
    with pytest.raises(InputError, match="num_sweeps is 0: give 1 or more"):
        smoothed(of, smoothing, num_sweeps=0)
    reals = dataclasses.replace(of, visible=Reals(jnp.zeros(3)))
    with pytest.raises(InputError, match="is of bits, and this one has real units"):
        SmoothedMachine(NormalizedMachine(reals), smoothing)
