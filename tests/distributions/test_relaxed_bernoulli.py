"""Relaxed bits: which draws, scored as bits, what stands behind them, alone and in groups."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from remjax import Batch, Params, bernoulli_likelihood, make_estimator
from remjax.distributions import (
    Bernoulli,
    Concrete,
    DiagonalGaussian,
    Groups,
    Layers,
    PiecewiseLinear,
    RelaxedBernoulli,
    bits,
)
from remjax.evaluation import make_log_likelihood
from remjax.methods import Particles, vae
from tests.bits_in_one_vector import networks_of_bits

RNG = np.random.default_rng(0)
LOGITS = jnp.asarray(RNG.normal(size=3), jnp.float32)
PWL = PiecewiseLinear()
RELAXED = RelaxedBernoulli(LOGITS, PWL)


def test_draws_are_the_relaxation_of_the_bits_of_the_same_key(key):
    keys = jax.random.split(key, 200)
    hard = RELAXED.hard()
    assert isinstance(hard, Bernoulli)
    z, of_bits = (jax.vmap(of.sample)(keys) for of in (RELAXED, hard))
    np.testing.assert_array_equal(z > 0.5, of_bits == 1.0)
    uniforms = jax.vmap(hard.uniforms)(keys)
    np.testing.assert_array_equal(z, jax.vmap(lambda u: PWL.relax(u, LOGITS))(uniforms))
    np.testing.assert_array_equal(z, jax.vmap(RELAXED.rsample)(keys))


def test_draws_carry_the_gradient_of_the_relaxation(key):
    gradient = jax.grad(lambda r: jnp.sum(r.rsample(key)))(RELAXED).logits
    uniforms = RELAXED.hard().uniforms(key)
    expected = jax.grad(lambda logits: jnp.sum(PWL.relax(uniforms, logits)))(LOGITS)
    np.testing.assert_array_equal(gradient, expected)
    held = jax.grad(lambda r: jnp.sum(r.sample(key)))(RELAXED).logits
    np.testing.assert_array_equal(held, np.zeros(3))
    assert not RELAXED.is_discrete


def test_the_density_is_that_of_bits_continued_linearly():
    every = np.array(list(itertools.product((0.0, 1.0), repeat=3)), np.float32)
    np.testing.assert_array_equal(
        jax.vmap(RELAXED.log_prob)(every), jax.vmap(Bernoulli(LOGITS).log_prob)(every)
    )
    shares = RNG.dirichlet(np.ones(8)).astype(np.float32)
    np.testing.assert_allclose(
        RELAXED.log_prob(jnp.asarray(shares @ every)),
        shares @ jax.vmap(RELAXED.log_prob)(every),
        rtol=1e-5,
    )
    mean = jnp.asarray(shares @ every)
    value = RELAXED.expected_log_prob(mean, jnp.eye(3))
    np.testing.assert_array_equal(value, RELAXED.log_prob(mean))


def test_the_divergence_is_that_of_the_bits():
    other = Bernoulli(jnp.asarray(RNG.normal(size=3), jnp.float32))
    every = np.array(list(itertools.product((0.0, 1.0), repeat=3)), np.float32)
    log_q, log_p = (jax.vmap(of.log_prob)(every) for of in (RELAXED, other))
    expected = np.sum(np.exp(log_q) * (log_q - log_p))
    np.testing.assert_allclose(RELAXED.kl_divergence(other), expected, rtol=1e-5)
    np.testing.assert_allclose(Groups(RELAXED, ()).kl_divergence(other), expected, rtol=1e-5)
    assert RELAXED.kl_divergence(DiagonalGaussian(jnp.zeros(3), jnp.ones(3))) is None


def test_s_is_of_bits():
    matched = RELAXED.matched(jnp.full(2, 0.25), jnp.eye(2))
    assert isinstance(matched, Bernoulli)
    np.testing.assert_allclose(matched.mean, np.full(2, 0.25), rtol=1e-5)


def chain(relaxation, kind=Layers, **options):
    """Three variables, then two given the three, then one given all five."""
    weights = [jnp.asarray(RNG.normal(size=shape), jnp.float32) for shape in ((3, 2), (5, 1))]

    def linear(weight, before):
        return bits(jnp.concatenate(before) @ weight, relaxation)

    conditionals = tuple(Partial(linear, weight) for weight in weights)
    return kind(bits(LOGITS, relaxation), conditionals, **options)


def test_a_layer_depends_on_all_before_it(key):
    layers = chain(None)
    z = layers.sample(key)
    weight = layers.conditionals[1].args[0]
    expected = Bernoulli(jnp.concatenate(z[:2]) @ weight).log_prob(z[2])
    np.testing.assert_allclose(layers.layer_log_probs(z)[2], expected, rtol=1e-5)


def test_groups_are_layers_in_one_vector(key):
    layers = chain(PWL)
    groups = Groups(layers.first, layers.conditionals, sizes=(3, 2, 1))
    z, flat = layers.rsample(key), groups.rsample(key)
    np.testing.assert_array_equal(jnp.concatenate(z), flat)
    for one, other in zip(groups.layers(flat), z, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(groups.log_prob(flat), layers.log_prob(z))
    again = jax.jit(lambda of: of.log_prob(flat))(groups)
    np.testing.assert_allclose(again, layers.log_prob(z), rtol=1e-6)
    assert groups.mean is None
    assert groups.kl_divergence(Bernoulli(jnp.zeros(6))) is None


@pytest.mark.parametrize("top_down", [False, True])
def test_the_bits_behind_a_chain(key, top_down):
    layers = chain(PWL, top_down=top_down)
    hard = layers.hard()
    assert hard.is_discrete
    assert hard.top_down == top_down
    expected = Layers(Bernoulli(LOGITS), chain_of_bits(layers), top_down=top_down)
    z = hard.sample(key)
    for one, other in zip(z, expected.sample(key), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(hard.log_prob(z), expected.log_prob(z), rtol=1e-6)


def chain_of_bits(layers):
    def linear(weight, before):
        return Bernoulli(jnp.concatenate(before) @ weight)

    return tuple(Partial(linear, *conditional.args) for conditional in layers.conditionals)


MEAN = np.full(4, 0.4)
X = np.array([[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0]], np.float32)


def test_evaluation_is_of_the_bits(key):
    """The same numbers as with a recognition network of bits and the same parameters."""
    found = []
    for relaxation in (None, Concrete()):
        model, recognition = networks_of_bits(
            bernoulli_likelihood(MEAN), MEAN, 4, num_groups=2, relaxation=relaxation
        )
        params = Params(model.init(key), recognition.init(key))
        evaluate = make_log_likelihood(model, recognition, num_particles=20)
        found.append(evaluate(params, key, X).log_likelihood)
    np.testing.assert_array_equal(*found)


def test_the_gradient_of_vae_is_that_of_the_relaxed_objective(key):
    """Against midpoints of a grid over both uniform numbers; five standard errors of 400 keys."""
    model, recognition = networks_of_bits(bernoulli_likelihood(MEAN), MEAN, 2, relaxation=PWL)
    estimator = make_estimator(model, recognition, vae(), Particles(40))
    params, _ = estimator.init(key)
    batch, points = Batch(jnp.asarray(X[:1]), jnp.zeros(1, int)), (jnp.arange(100) + 0.5) / 100

    def loss(eta, key):
        return estimator.estimate(params._replace(eta=eta), (), key, batch)[0].eta_loss

    def exact(eta):
        r, joint = recognition.r(eta, batch.x[0]), model.joint(params.theta, batch.x[0])

        def of_pair(one, other):
            z = PWL.relax(jnp.stack([one, other]), r.first.logits)
            return r.log_prob(z) - joint(z)

        return jnp.mean(jax.vmap(jax.vmap(of_pair, (None, 0)), (0, None))(points, points))

    keys = jax.random.split(key, 400)
    drawn = jax.jit(jax.vmap(jax.grad(loss), in_axes=(None, 0)))(params.eta, keys)
    expected = jax.jit(jax.grad(exact))(params.eta)
    for rows, value in zip(jax.tree.leaves(drawn), jax.tree.leaves(expected), strict=True):
        error = np.std(rows, axis=0) / np.sqrt(len(keys))
        # The grid cuts the ends of a ramp within a hundredth.
        assert np.all(np.abs(np.mean(rows, axis=0) - value) < 5 * error + 5e-3)
