"""Corruptions: masses by enumeration, draws against them, densities against SciPy, gradients."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from remjax.distributions import Flips, GaussianNoise, Masking, SaltAndPepper
from remjax.errors import InputError

RATE = 0.3
BITS = np.array(list(itertools.product((0.0, 1.0), repeat=3)))
OF_BITS = (SaltAndPepper, Masking, Flips)
# Of ONE bit x: the probability that zbar is 0 and that it is 1, by hand.
OF_ONE = {
    SaltAndPepper: {0: (0.85, 0.15), 1: (0.15, 0.85)},
    Masking: {0: (1.0, 0.0), 1: (0.3, 0.7)},
    Flips: {0: (0.7, 0.3), 1: (0.3, 0.7)},
}
kinds = pytest.mark.parametrize("kind", OF_BITS)


def by_hand(kind, x):
    """q(zbar | x) of every zbar of three bits, in float64."""
    return np.array(
        [np.prod([OF_ONE[kind][int(a)][int(b)] for a, b in zip(x, z, strict=True)]) for z in BITS]
    )


@kinds
def test_masses_by_enumeration(kind):
    """Impossible ones have mass zero, and all masses of an x sum to one."""
    log_prob = jax.vmap(jax.vmap(kind(RATE).log_prob, (0, None)), (None, 0))
    mass = np.exp(log_prob(jnp.asarray(BITS), jnp.asarray(BITS)))
    np.testing.assert_allclose(mass, [by_hand(kind, x) for x in BITS], rtol=1e-5)
    np.testing.assert_allclose(mass.sum(axis=1), 1.0, rtol=1e-5)
    assert np.any(mass == 0.0) == (kind is Masking)


@kinds
def test_draws_have_the_masses(key, kind):
    """20,000 draws from one x; five standard errors."""
    x, count = BITS[5], 20_000
    zbar = jax.jit(jax.vmap(lambda key: kind(RATE).sample(key, jnp.asarray(x))))(
        jax.random.split(key, count)
    )
    frequency = np.mean(np.all(zbar[:, None] == BITS, axis=-1), axis=0)
    mass = by_hand(kind, x)
    assert np.all(np.abs(frequency - mass) <= 5 * np.sqrt(mass * (1 - mass) / count))
    np.testing.assert_allclose(frequency.sum(), 1.0, rtol=1e-6)


def test_grey_values_have_masses_too():
    """Grains are black and white; a flip reflects. At one half a flip changes nothing."""
    x = jnp.asarray([0.25])
    for zbar, mass in ((0.25, 0.7), (0.0, 0.15), (1.0, 0.15), (0.75, 0.0)):
        value = jnp.exp(SaltAndPepper(RATE).log_prob(jnp.asarray([zbar]), x))
        np.testing.assert_allclose(value, mass, rtol=1e-6)
    np.testing.assert_allclose(jnp.exp(Flips(RATE).log_prob(1.0 - x, x)), RATE, rtol=1e-6)
    half = jnp.asarray([0.5])
    np.testing.assert_allclose(Flips(RATE).log_prob(half, half), 0.0, atol=1e-6)


@kinds
@pytest.mark.parametrize("rate", [0, 1.0])
def test_rates_at_the_edge(key, kind, rate):
    """Never, and always: what is drawn is possible, and its mass has a finite gradient."""
    x = jnp.asarray(BITS[5])
    corruption = kind(rate)
    zbar = corruption.sample(key, x)
    always = {SaltAndPepper: zbar, Masking: jnp.zeros(3), Flips: 1.0 - x}[kind]
    np.testing.assert_array_equal(zbar, always if rate else x)
    assert np.isfinite(corruption.log_prob(zbar, x))
    gradient = jax.grad(lambda held: held.log_prob(1.0 - zbar, x))(kind(jnp.asarray(float(rate))))
    assert np.isfinite(gradient.rate)


def test_a_rate_for_each_unit(key):
    rates = np.array([0.0, 1.0, 0.5])
    corruption, x = Masking(rates), jnp.ones(3)
    zbar = jax.vmap(lambda key: corruption.sample(key, x))(jax.random.split(key, 100))
    np.testing.assert_array_equal(zbar[:, :2], np.tile([1.0, 0.0], (100, 1)))
    assert set(np.unique(zbar[:, 2])) == {0.0, 1.0}
    value = corruption.log_prob(jnp.asarray([1.0, 0.0, 0.0]), x)
    np.testing.assert_allclose(value, np.log(0.5), rtol=1e-6)


@pytest.mark.parametrize("scale", [0.7, np.array([0.2, 1.0, 3.0])])
def test_gaussian_noise_against_scipy(key, scale):
    """The density, and the moments of 20,000 draws; five standard errors."""
    x, count = np.array([0.3, -2.0, 5.0]), 20_000
    noise = GaussianNoise(scale)
    zbar = np.asarray(
        jax.vmap(lambda key: noise.sample(key, jnp.asarray(x)))(jax.random.split(key, count)),
        np.float64,
    )
    expected = scipy.stats.norm(x, scale).logpdf(zbar[0]).sum()
    value = noise.log_prob(jnp.asarray(zbar[0]), jnp.asarray(x))
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    assert np.all(np.abs(zbar.mean(axis=0) - x) < 5 * scale / np.sqrt(count))
    np.testing.assert_allclose(zbar.std(axis=0), np.broadcast_to(scale, 3), rtol=0.03)


def test_only_the_draws_of_rsample_carry_gradients(key):
    x = jnp.asarray([0.5, 1.0])
    noise = jax.random.normal(key, (2,))

    def through(draw):
        return jax.grad(lambda held, x: jnp.sum(getattr(held, draw)(key, x)), (0, 1))

    scale, to_x = through("rsample")(GaussianNoise(0.7), x)
    np.testing.assert_allclose(scale.scale, noise.sum(), rtol=1e-5)
    np.testing.assert_array_equal(to_x, np.ones(2))
    for corruption in (GaussianNoise(0.7), *(kind(RATE) for kind in OF_BITS)):
        held, to_x = through("sample")(corruption, x)
        np.testing.assert_array_equal(jax.tree.leaves(held)[0], 0.0)
        np.testing.assert_array_equal(to_x, np.zeros(2))
    for kind in OF_BITS:
        with pytest.raises(InputError, match=rf"^{kind.__name__} has no reparameterised draw, for"):
            kind(RATE).rsample(key, x)


@pytest.mark.parametrize("kind", [*OF_BITS, GaussianNoise])
def test_a_parameter_of_any_size_is_a_strength(kind):
    """`at` undoes `parameter`, and carries its gradient to the density: by finite differences."""
    start = kind(0.2)
    again = start.at(start.parameter)
    np.testing.assert_allclose(jax.tree.leaves(again)[0], 0.2, rtol=1e-6)
    zbar, x = jnp.asarray([0.0, 0.0, 1.0]), jnp.asarray([0.0, 1.0, 1.0])

    def density(parameter):
        return start.at(parameter).log_prob(zbar, x)

    step = 1e-2
    slope = (density(start.parameter + step) - density(start.parameter - step)) / (2 * step)
    np.testing.assert_allclose(jax.grad(density)(start.parameter), slope, rtol=2e-2)


@pytest.mark.parametrize("kind", [*OF_BITS, GaussianNoise])
def test_a_compiled_function_takes_any_strength(key, kind):
    traced = []

    @jax.jit
    def draw(corruption, x):
        traced.append(corruption)
        return corruption.sample(key, x), corruption.log_prob(x, x)

    for strength in (0.2, 0.4):
        compiled = draw(kind(strength), jnp.ones(3))
        for ours, theirs in zip(
            compiled,
            (kind(strength).sample(key, jnp.ones(3)), kind(strength).log_prob(*[jnp.ones(3)] * 2)),
            strict=True,
        ):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert len(traced) == 1
    assert kind(0.2) == kind(0.2) != kind(0.4)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.float32])
def test_data_of_any_type_become_floats(key, dtype):
    x = jnp.asarray(BITS[5], dtype)
    for corruption in (*(kind(RATE) for kind in OF_BITS), GaussianNoise(0.5)):
        zbar = corruption.sample(key, x)
        assert zbar.dtype == np.float32
        expected = corruption.log_prob(zbar, jnp.asarray(BITS[5], jnp.float32))
        np.testing.assert_allclose(corruption.log_prob(zbar, x), expected, rtol=1e-6)


@pytest.mark.parametrize("rate", [-0.1, 1.5, np.nan, np.linspace(0.0, 1.1, 99)])
@kinds
def test_rates_that_cannot_be(kind, rate):
    with pytest.raises(InputError, match=r"^rate is .*: give the probability of a unit, from 0"):
        kind(rate)


@pytest.mark.parametrize("scale", [0, -1.0, np.nan, np.inf, np.linspace(1.0, 0.0, 99)])
def test_scales_that_cannot_be(scale):
    with pytest.raises(InputError, match=r"^scale is .*: give a standard deviation above 0$"):
        GaussianNoise(scale)


@pytest.mark.parametrize("corruption", [Flips(0.1), GaussianNoise(0.1)])
def test_shapes_are_never_broadcast(corruption):
    with pytest.raises(InputError, match=r"^zbar has the shape \(3,\) and x \(2, 3\): give ONE of"):
        corruption.log_prob(jnp.zeros(3), jnp.zeros((2, 3)))
