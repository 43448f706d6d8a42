"""Chains of layers against SciPy; what is drawn, in which order, and which gradients it carries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from jax.flatten_util import ravel_pytree
from jax.tree_util import Partial

from remjax.distributions import Bernoulli, DiagonalGaussian, FullGaussian
from remjax.distributions.layers import Layers, Unflattened
from remjax.errors import InputError
from remjax.methods.draws import Draws
from remjax.particles.covariances import weighted
from remjax.types import Model

RNG = np.random.default_rng(0)
LOC, SCALES = RNG.normal(size=3), (np.array([0.5, 1.0, 2.0]), np.array([0.3, 0.7]), np.array([1.5]))
WEIGHTS = (RNG.normal(size=(2, 3)), RNG.normal(size=(1, 2)))
FLAT_SIZE = 6


def array(value):
    return jnp.asarray(value, jnp.float32)


def linear(params, given):
    return DiagonalGaussian(params["weight"] @ given[-1], params["scale"])


def chain(top_down=False, length=3):
    """Sizes 3, 2, 1 in the order of drawing: z_2 ~ N(W z_1, .), z_3 ~ N(V z_2, .)."""
    conditionals = [
        Partial(linear, {"weight": array(weight), "scale": array(scale)})
        for weight, scale in zip(WEIGHTS, SCALES[1:], strict=True)
    ]
    first = DiagonalGaussian(array(LOC), array(SCALES[0]))
    return Layers(first, tuple(conditionals[: length - 1]), top_down=top_down)


def exact_terms(layers):
    """Log densities in float64, in the order of drawing."""
    means = [LOC, WEIGHTS[0] @ layers[0], WEIGHTS[1] @ layers[1]]
    return [
        scipy.stats.norm(mean, scale).logpdf(layer).sum()
        for mean, scale, layer in zip(means, SCALES, layers, strict=True)
    ]


ORDERS = pytest.mark.parametrize("top_down", [False, True], ids=["bottom_up", "top_down"])


@ORDERS
def test_densities_against_scipy(top_down):
    layers = [RNG.normal(size=scale.shape) for scale in SCALES]
    expected = exact_terms(layers)
    in_place = slice(None, None, -1) if top_down else slice(None)
    z, distribution = tuple(array(layer) for layer in layers[in_place]), chain(top_down)
    terms, total = jax.jit(lambda z: (distribution.layer_log_probs(z), distribution.log_prob(z)))(z)
    np.testing.assert_allclose(terms, expected[in_place], rtol=1e-5)
    np.testing.assert_allclose(total, sum(expected), rtol=1e-5)


@ORDERS
def test_the_layer_nearest_the_data_is_the_first_of_the_tuple(top_down, key):
    """Bottom up it is drawn first, top down last."""
    z = jax.eval_shape(chain(top_down).sample, key)
    assert [layer.size for layer in z] == ([1, 2, 3] if top_down else [3, 2, 1])


@ORDERS
def test_sample_has_no_gradient_and_rsample_that_of_every_layer(top_down, key):
    distribution = chain(top_down)

    def total(distribution, draw):
        z = draw(distribution, key)
        return ravel_pytree(z)[0].sum(), z

    with_gradient = jax.jit(jax.grad(total, has_aux=True), static_argnums=1)
    held, z = with_gradient(distribution, Layers.sample)
    free, same_z = with_gradient(distribution, Layers.rsample)
    jax.tree.map(np.testing.assert_array_equal, z, same_z)
    assert all(np.all(leaf == 0) for leaf in jax.tree.leaves(held))
    assert all(np.all(leaf != 0) for leaf in jax.tree.leaves(free))


def test_gradient_of_rsample_runs_through_the_layers(key):
    """The mean of z_3 is V W loc: its gradient in loc is V W, whatever the noise."""
    gradient = jax.grad(lambda distribution: jnp.sum(distribution.rsample(key)[2]))(
        chain()
    ).first.loc
    np.testing.assert_allclose(gradient, (WEIGHTS[1] @ WEIGHTS[0])[0], rtol=1e-5)


def test_moments_of_draws_and_of_estimated_means(key):
    """20,000 draws each: five standard errors; estimated means agree and vary less."""
    keys = jax.random.split(key, 20_000)
    exact = [LOC, WEIGHTS[0] @ LOC, WEIGHTS[1] @ WEIGHTS[0] @ LOC]
    spread = []
    for draw in (chain().sample, chain().estimated_mean):
        layers = [np.asarray(layer, np.float64) for layer in jax.jit(jax.vmap(draw))(keys)]
        for layer, mean in zip(layers, exact, strict=True):
            error = layer.std(axis=0) / np.sqrt(20_000)
            assert np.all(np.abs(layer.mean(axis=0) - mean) < 5 * error + 1e-6)
        spread.append([layer.var(axis=0) for layer in layers])
    np.testing.assert_allclose(spread[1][0], 0.0, atol=1e-6)  # in closed form
    assert np.all(spread[1][1] < spread[0][1])
    assert np.all(spread[1][2] < spread[0][2])


def test_vmapped_and_jitted_equal_one_at_a_time(key):
    """A chain is a pytree: it crosses jit, and a batch of them is a chain of batches."""
    keys, locs = jax.random.split(key, 4), array(RNG.normal(size=(4, 3)))

    def of(loc):
        return Layers(DiagonalGaussian(loc, array(SCALES[0])), chain().conditionals)

    def drawn(distribution, key):
        z = distribution.rsample(key)
        return *z, distribution.log_prob(z)

    together = jax.jit(jax.vmap(drawn))(jax.jit(jax.vmap(of))(locs), keys)
    alone = jax.jit(drawn)
    for place in range(4):
        for ours, theirs in zip(alone(of(locs[place]), keys[place]), together, strict=True):
            np.testing.assert_allclose(ours, theirs[place], rtol=1e-5)


def test_one_layer_keeps_its_closed_forms():
    distribution, other = chain(length=1), Layers(DiagonalGaussian(jnp.zeros(3), jnp.ones(3)), ())
    flat = distribution.first
    np.testing.assert_array_equal(distribution.mean, flat.mean)
    np.testing.assert_array_equal(distribution.variance, flat.variance)
    np.testing.assert_array_equal(
        distribution.kl_divergence(other), flat.kl_divergence(other.first)
    )
    moments = array(RNG.normal(size=3)), jnp.eye(3)
    np.testing.assert_array_equal(
        distribution.expected_log_prob(*moments), flat.expected_log_prob(*moments)
    )
    several = chain()
    assert several.mean is several.variance is None
    assert several.kl_divergence(several) is distribution.kl_divergence(several) is None
    assert several.expected_log_prob(array(np.zeros(6)), jnp.eye(6)) is None


def test_bits_are_drawn_and_scored_and_not_reparameterised(key):
    distribution = Layers(
        Bernoulli(jnp.zeros(2)), (Partial(lambda shift, z: Bernoulli(z[-1] + shift), 0.5),)
    )
    z = distribution.sample(key)
    logits = np.asarray(z[0]) + 0.5
    second = scipy.stats.bernoulli(1 / (1 + np.exp(-logits))).logpmf(np.asarray(z[1])).sum()
    np.testing.assert_allclose(distribution.log_prob(z), 2 * np.log(0.5) + second, rtol=1e-5)
    with pytest.raises(InputError, match="no reparameterised draw"):
        distribution.rsample(key)


def joint(z):
    return -0.5 * jnp.sum(jnp.square(ravel_pytree(z)[0] - 1.0))


def test_s_matches_all_layers_jointly(key):
    """Mean and covariance of s against those of the flattened particles in float64."""

    @jax.jit
    def matched(key):
        draws = Draws(
            key,
            Model(None, lambda _, z: joint(z), lambda _, x, z: jnp.zeros(()), None),
            (),
            jnp.zeros(1),
            chain(),
            num_particles=50,
            chunk_size=50,
            keep=None,
            matched_powers=weighted().powers,
        )
        of_r = draws.from_r().posterior
        particles = jax.vmap(lambda index: of_r.proposal.particle(of_r.key, index))
        s = draws.matched(weighted())
        return s, particles(jnp.arange(50)), s.sample(key)

    s, particles, drawn = matched(key)
    flat = np.concatenate([np.asarray(layer, np.float64) for layer in particles.z], axis=1)
    log_w = -0.5 * np.square(flat - 1.0).sum(axis=1) - np.asarray(particles.log_q, np.float64)
    weights = np.exp(log_w - log_w.max())
    weights /= weights.sum()
    mean = weights @ flat
    covariance = (flat - mean).T @ np.diag(weights) @ (flat - mean)
    np.testing.assert_allclose(s.mean, mean, rtol=1e-4)
    factor = np.asarray(s.flat.scale_tril, np.float64)
    floor = 1e-6 * np.diag(flat.var(axis=0))  # what `match` puts on the diagonal
    np.testing.assert_allclose(factor @ factor.T, covariance + floor, rtol=2e-3, atol=1e-4)
    assert [layer.shape for layer in drawn] == [(3,), (2,), (1,)]


def test_unflattened_is_the_flat_law_in_another_shape(key):
    flat = FullGaussian(array(RNG.normal(size=3)), array(np.eye(3) + np.tri(3, k=-1)))
    _, unflatten = ravel_pytree((jnp.zeros(1), jnp.zeros(2)))
    distribution = Unflattened(flat, unflatten)
    z = distribution.sample(key)
    assert [layer.shape for layer in z] == [(1,), (2,)]
    np.testing.assert_array_equal(ravel_pytree(z)[0], flat.sample(key))
    jax.tree.map(np.testing.assert_array_equal, z, distribution.rsample(key))
    np.testing.assert_array_equal(distribution.log_prob(z), flat.log_prob(flat.sample(key)))
    np.testing.assert_array_equal(distribution.mean, flat.mean)
    np.testing.assert_array_equal(distribution.variance, flat.variance)
    np.testing.assert_array_equal(ravel_pytree(distribution.estimated_mean(key))[0], flat.mean)
    gradient = jax.grad(lambda distribution: distribution.rsample(key)[0][0])(distribution)
    assert np.any(gradient.flat.scale_tril != 0.0)
