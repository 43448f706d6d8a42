"""A machine that is summed over, against all its states in float64, and its relaxed draws."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from remjax import InputError
from remjax.boltzmann import (
    RBM,
    EnumeratedMachine,
    NormalizedMachine,
    Reals,
    log_partition,
)
from remjax.distributions import Bernoulli, Concrete, PiecewiseLinear, StraightThrough

SIZES = [(2, 3), (3, 2)]
OF_SIZES = pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: f"{sizes[0]}+{sizes[1]}")


def machine_of(sizes, scale=1.0):
    rng = np.random.default_rng(sizes[0])
    shapes = sizes, sizes[0], sizes[1]
    return RBM(*(jnp.asarray(scale * rng.normal(size=shape), jnp.float32) for shape in shapes))


def states_of(sizes):
    return np.array(list(itertools.product((0.0, 1.0), repeat=sum(sizes))), np.float32)


def exact_log_q(machine):
    """log q(z) of every state, in NumPy's words and float64."""
    w, a, b = (np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(machine))
    z = states_of(machine.sizes).astype(np.float64)
    v, h = z[:, : len(a)], z[:, len(a) :]
    gain = v @ a + h @ b + np.sum((v @ w) * h, axis=1)
    return gain - scipy.special.logsumexp(gain)


@OF_SIZES
def test_density_and_moments_are_those_of_all_states(sizes):
    machine, z = machine_of(sizes), jnp.asarray(states_of(sizes))
    exact = exact_log_q(machine)
    law, states = np.exp(exact), states_of(sizes)
    mean = law @ states
    covariance = (states - mean).T @ (law[:, None] * (states - mean))
    bits = Bernoulli(jnp.arange(sum(sizes)) / 4.0)
    other = machine_of(sizes, 0.3)
    prior = NormalizedMachine(other, jnp.asarray(log_partition(other)))

    @jax.jit
    def found(machine):
        q = EnumeratedMachine(machine)
        ours = q.expected_log_prob(
            jnp.asarray(mean, jnp.float32), jnp.asarray(covariance, jnp.float32)
        )
        divergences = [q.kl_divergence(p) for p in (bits, prior)]
        others = [jax.vmap(p.log_prob)(z) for p in (bits, prior)]
        return jax.vmap(q.log_prob)(z), q.mean, q.variance, ours, divergences, others

    log_q, of_q, variance, negentropy, divergences, others = found(machine)
    np.testing.assert_allclose(log_q, exact, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(np.exp(np.float64(log_q)).sum(), 1.0, rtol=1e-5)
    np.testing.assert_allclose(of_q, mean, rtol=1e-5)
    np.testing.assert_allclose(variance, np.diag(covariance), rtol=1e-4)
    np.testing.assert_allclose(negentropy, law @ exact, rtol=1e-5)
    for divergence, log_p in zip(divergences, others, strict=True):
        np.testing.assert_allclose(divergence, law @ (exact - np.float64(log_p)), rtol=1e-4)
    assert EnumeratedMachine(machine).is_discrete
    assert EnumeratedMachine(machine).is_normalized


@OF_SIZES
def test_draws_are_exact_and_independent(sizes):
    """20,000 keys: five standard errors of every state."""
    machine, count = machine_of(sizes), 20_000
    z = jax.jit(jax.vmap(EnumeratedMachine(machine).sample))(
        jax.random.split(jax.random.key(0), count)
    )
    numbers = np.asarray(z @ (2.0 ** np.arange(sum(sizes))[::-1])).astype(int)
    exact = np.exp(exact_log_q(machine))
    found = np.bincount(numbers, minlength=len(exact)) / count
    assert np.all(np.abs(found - exact) < 5 * np.sqrt(exact * (1.0 - exact) / count))


def function(z):
    """Neither linear nor symmetric in three bits."""
    return jnp.sin(z @ jnp.array([1.0, -0.7, 2.0])) + z[0] * z[2]


def test_the_gradient_along_relaxed_draws_tends_to_the_exact_one():
    """Over a grid of 60^3 uniform numbers the expectation has no noise: what is left is the bias.

    It falls as the relaxation gets four times as sharp, and so does that of the value: nothing is
    left out, as term I of Eq. 8 of Vahdat et al. 2019 is by sweeps of a chain.
    """
    machine = machine_of((1, 2))
    line = (jnp.arange(60) + 0.5) / 60
    grid = jnp.stack(jnp.meshgrid(line, line, line), axis=-1).reshape(-1, 3)

    def relaxed(machine, beta):
        def draw(uniforms):
            return function(EnumeratedMachine(machine, PiecewiseLinear(beta)).made_of(uniforms))

        return jnp.mean(jax.vmap(draw)(grid))

    def exact(machine):
        log_q = jax.vmap(EnumeratedMachine(machine).log_prob)(states_of((1, 2)))
        return jnp.exp(log_q) @ jax.vmap(function)(states_of((1, 2)))

    value, gradient = jax.value_and_grad(exact)(machine)
    norm = np.sqrt(sum(np.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))
    errors = []
    for beta in (2.0, 8.0):
        ours, found = jax.jit(jax.value_and_grad(relaxed), static_argnums=1)(machine, beta)
        difference = jax.tree.map(jnp.subtract, found, gradient)
        away = np.sqrt(sum(np.sum(leaf**2) for leaf in jax.tree.leaves(difference)))
        errors.append((abs(float(ours - value)), away / norm))
    assert errors[1][0] < 0.3 * errors[0][0] < 0.04
    assert errors[1][1] < 0.3 * errors[0][1] < 0.1


@OF_SIZES
def test_relaxed_draws_are_made_of_the_numbers_that_the_bits_are_made_of(key, sizes):
    machine, states = machine_of(sizes), jnp.asarray(states_of(sizes))
    relaxed = EnumeratedMachine(machine, Concrete(2.0))

    @jax.jit
    def found(machine):
        hard = EnumeratedMachine(machine)
        straight = dataclasses.replace(hard, relaxation=StraightThrough())
        soft = dataclasses.replace(hard, relaxation=relaxed.relaxation)
        drawn = soft.particle(key, jnp.asarray(1))
        pairs = hard.sample(key), straight.rsample(key), drawn.z, soft.rsample(drawn.noise)
        return pairs, jax.vmap(straight.made_of)(1.0 - states)

    (bits, straight, particle, again), told = found(machine)
    np.testing.assert_array_equal(bits, straight)
    np.testing.assert_array_equal(particle, again)
    assert np.all((particle > 0.0) & (particle < 1.0))
    np.testing.assert_array_equal(told, states)
    assert relaxed.hard() == EnumeratedMachine(machine)
    assert not relaxed.is_discrete
    assert relaxed.mean is None
    assert relaxed.variance is None


def test_smoothed_is_the_mean_over_the_side_that_came_last(key):
    """Of three hidden bits given the two visible ones: a bilinear function, exactly."""
    machine = machine_of((2, 3))
    q = EnumeratedMachine(machine, StraightThrough())
    found, drawn = jax.jit(lambda q: (q.smoothed(key), q.rsample(key)))(q)
    v = drawn[:2]
    weights = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3)), jnp.float32)
    h = states_of((0, 3))
    law = jax.vmap(Bernoulli(machine.hidden_field(v)).log_prob)(h)
    np.testing.assert_array_equal(found.z[:2], v)
    np.testing.assert_allclose(
        v @ weights @ found.z[2:], jnp.exp(law) @ (h @ (v @ weights)), rtol=1e-5
    )
    np.testing.assert_allclose(found.log_q, q.log_prob(found.z), rtol=1e-6)


@pytest.mark.parametrize("scale", [0.0, 1e-6, 1e3, -1e8])
def test_extreme_parameters_give_finite_numbers(key, scale):
    machine = machine_of((2, 3), scale)

    def loss(machine):
        q = EnumeratedMachine(machine, PiecewiseLinear())
        z = q.rsample(key)
        return q.log_prob(z) + jnp.sum(z)

    value, gradient = jax.jit(jax.value_and_grad(loss))(machine)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((value, gradient)))


def test_matched_bits_have_the_means():
    q = EnumeratedMachine(machine_of((2, 3)))
    mean = jnp.array([0.2, 0.5, 0.5, 0.7, 0.0])
    np.testing.assert_allclose(
        q.matched(mean, jnp.eye(5)).mean, np.clip(mean, 0.01, 0.99), rtol=1e-5
    )


def test_what_it_cannot_do_is_refused(key):
    def blank(*sizes, **families):
        return RBM(jnp.zeros(sizes), jnp.zeros(sizes[0]), jnp.zeros(sizes[1]), **families)

    EnumeratedMachine(blank(12, 40))
    with pytest.raises(InputError, match=r"^an enumerated machine has a side of 12 .* 13 and 14"):
        EnumeratedMachine(blank(13, 14))
    with pytest.raises(InputError, match=r"^an enumerated machine is of bits, and this one has re"):
        EnumeratedMachine(blank(2, 1, hidden=Reals(jnp.zeros(1))))
    q = EnumeratedMachine(blank(2, 1))
    for refused in (q.rsample, q.smoothed):
        with pytest.raises(InputError, match=r"^bits of a machine have no reparameterised draw"):
            refused(key)
    with pytest.raises(InputError, match=r"^latents of the shape \(2,\) for the 3 of the machine"):
        q.log_prob(jnp.zeros(2))
    with pytest.raises(InputError, match=r"^uniform numbers of the shape \(2,\) for the 3"):
        q.made_of(jnp.zeros(2))
    assert q.kl_divergence(EnumeratedMachine(q.machine, Concrete())) is None
