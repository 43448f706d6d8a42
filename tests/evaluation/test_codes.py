"""Codes are means of the latents: exact where there is a closed form, whatever stands for bits."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import remjax
from remjax.boltzmann import RBM, EnumeratedMachine, MarginalPosterior, UndirectedPosterior
from remjax.distributions import DiagonalGaussian, Layers, PiecewiseLinear
from remjax.evaluation import code
from remjax.fitting.fitted import Fitted
from remjax.types import Params
from tests.bits_in_one_vector import networks_of_bits

MEAN = np.full(4, 0.4)
X = np.array([[1, 0, 1, 1], [0, 0, 1, 0], [1, 1, 1, 1]], np.float32)


@pytest.fixture(scope="module")
def fitted():
    """Relaxed bits in one group."""
    model, recognition = networks_of_bits(
        remjax.bernoulli_likelihood(MEAN), MEAN, 3, relaxation=PiecewiseLinear()
    )
    keys = jax.random.split(jax.random.key(0))
    params = Params(model.init(keys[0]), recognition.init(keys[1]))
    return Fitted(model, recognition, params, None, (4,), ())


def probabilities(fitted):
    return np.stack(
        [
            jax.nn.sigmoid(fitted.recognition.r(fitted.params.eta, x).first.logits)
            for x in jnp.asarray(X)
        ]
    )


def test_relaxed_bits_have_the_means_of_the_bits_whatever_the_seed(fitted):
    for seed in (0, 1):
        np.testing.assert_allclose(fitted.encode(X, seed=seed), probabilities(fitted), rtol=1e-5)
    np.testing.assert_array_equal(fitted.reconstruct(X, seed=0), fitted.reconstruct(X, seed=1))


def test_an_exported_encoder_has_them_too(fitted, tmp_path):
    fitted.export(tmp_path / "export")
    program = jax.export.deserialize((tmp_path / "export" / "encoder.bin").read_bytes())
    np.testing.assert_allclose(program.call(X), probabilities(fitted), rtol=1e-5)


RNG = np.random.default_rng(1)
MACHINE = RBM(*(jnp.asarray(RNG.normal(size=size), jnp.float32) for size in ((3, 3), 3, 3)))


def mean_of_states():
    """Of all 2^6 states, float64."""
    states = np.array(list(itertools.product((0.0, 1.0), repeat=6)))
    v, h = states[:, :3], states[:, 3:]
    weights, a, b = (
        np.float64(leaf) for leaf in (MACHINE.weights, MACHINE.visible_bias, MACHINE.hidden_bias)
    )
    gain = v @ a + h @ b + np.sum((v @ weights) * h, axis=1)
    share = np.exp(gain - gain.max())
    return share @ states / share.sum()


@pytest.mark.parametrize("cls", [EnumeratedMachine, UndirectedPosterior, MarginalPosterior])
def test_a_machine(cls):
    """By chains within a tenth: five standard errors of 100 chains at most, with sides at means."""
    found = jax.jit(lambda key: code(cls(MACHINE, PiecewiseLinear()), key))(jax.random.key(0))
    atol = 1e-5 if cls is EnumeratedMachine else 0.15
    np.testing.assert_allclose(found, mean_of_states()[: len(found)], atol=atol)


def test_two_sides_at_their_means_have_less_noise_than_draws():
    q = UndirectedPosterior(MACHINE)
    keys = jax.random.split(jax.random.key(0), 400)
    draws, means = (np.asarray(jax.jit(jax.vmap(of))(keys)) for of in (q.sample, q.estimated_mean))
    assert np.all(means.var(axis=0) < draws.var(axis=0))
    error = means.std(axis=0) / 20
    assert np.all(np.abs(means.mean(axis=0) - mean_of_states()) < 5 * error)


def test_a_hierarchy():
    """z_2 ~ N(z_1, 1), z_1 ~ N(3, 1): five standard errors of 100 estimates."""
    above = Partial(lambda scale, given: DiagonalGaussian(given[-1], scale), jnp.ones(1))
    layers = Layers(DiagonalGaussian(jnp.full(1, 3.0), jnp.ones(1)), (above,))
    first, second = code(layers, jax.random.key(0))
    np.testing.assert_allclose(first, 3.0, rtol=1e-6)
    assert abs(second[0] - 3.0) < 0.5
