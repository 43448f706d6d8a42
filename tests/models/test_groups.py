"""Posteriors in groups: densities in float64, normalised by enumeration, statistics, sizes."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from scipy.special import expit

from remjax import statistics
from remjax.distributions import Groups, PiecewiseLinear
from remjax.errors import InputError
from remjax.models import batch_normalization, grouped_recognition

RNG = np.random.default_rng(0)
MEAN = RNG.uniform(0.2, 0.8, size=5)
X = np.array([1.0, 0.0, 0.0, 1.0, 1.0], np.float32)
EVERY = np.array(list(itertools.product((0.0, 1.0), repeat=4)), np.float32)
SHARED = pytest.mark.parametrize("shared_context", [True, False], ids=["shared", "separate"])


def posterior(num_groups, **options):
    return grouped_recognition(
        MEAN, latent_size=4, num_groups=num_groups, hidden_sizes=(6, 3), **options
    )


def parameters(recognition, key):
    """Away from zero biases."""
    leaves, structure = jax.tree.flatten(recognition.init(key))
    noisy = [leaf + jnp.asarray(0.5 * RNG.normal(size=leaf.shape), leaf.dtype) for leaf in leaves]
    return jax.tree.unflatten(structure, noisy)


def tanh_layers(params, x):
    for place in range(len(params.get("hidden", {}))):
        layer = params["hidden"][place]
        x = np.tanh(x @ np.float64(layer["kernel"]) + np.float64(layer["bias"]))
    return x


def exact_log_prob(eta, z):
    """Of any number of groups, the log odds of each from its own parameters, in float64."""
    size = 4 // len(eta["groups"])
    context, total = tanh_layers(eta["context"], np.float64(X) - np.float32(MEAN)), 0.0
    for place, params in enumerate(eta["groups"]):
        given = np.concatenate([context, z[: place * size]])
        head = params["head"]
        logits = tanh_layers(params, given) @ np.float64(head["kernel"]) + np.float64(head["bias"])
        own = z[place * size : (place + 1) * size]
        total += scipy.stats.bernoulli(expit(logits)).logpmf(own).sum()
    return total


@SHARED
@pytest.mark.parametrize("num_groups", [1, 2, 4])
def test_densities_against_float64_and_their_sum(key, num_groups, shared_context):
    recognition = posterior(num_groups, shared_context=shared_context)
    eta = parameters(recognition, key)
    r = recognition.r(eta, jnp.asarray(X))
    assert isinstance(r, Groups)
    assert r.is_discrete
    assert r.sample(key).shape == (4,)
    log_prob = np.asarray(jax.jit(jax.vmap(r.log_prob))(EVERY), np.float64)
    np.testing.assert_allclose(log_prob, [exact_log_prob(eta, z) for z in EVERY], rtol=1e-4)
    np.testing.assert_allclose(np.sum(np.exp(log_prob)), 1.0, rtol=1e-5)


def test_shapes_of_parameters(key):
    def shapes(recognition):
        return jax.tree.map(lambda leaf: leaf.shape, recognition.init(key))

    shared = shapes(posterior(2))
    assert shared["context"]["hidden"][1]["kernel"] == (6, 3)
    assert [group["head"]["kernel"] for group in shared["groups"]] == [(3, 2), (5, 2)]
    separate = shapes(posterior(2, shared_context=False))
    assert jax.tree.leaves(separate["context"]) == []
    assert [group["hidden"][0]["kernel"] for group in separate["groups"]] == [(5, 6), (7, 6)]
    one = [shapes(posterior(1, shared_context=shared)) for shared in (True, False)]
    assert sorted(jax.tree.leaves(one[0])) == sorted(jax.tree.leaves(one[1]))


@SHARED
def test_the_path_of_relaxed_groups_reaches_every_parameter(key, shared_context):
    recognition = posterior(2, shared_context=shared_context, relaxation=PiecewiseLinear(1.0))
    eta = parameters(recognition, key)

    def last_group(eta):
        keys = jax.random.split(key, 20)
        return jnp.sum(jax.vmap(recognition.r(eta, jnp.asarray(X)).rsample)(keys)[:, 2:])

    gradient = jax.jit(jax.grad(last_group))(eta)
    assert all(np.any(leaf != 0.0) for leaf in jax.tree.leaves(gradient))
    hard = recognition.r(eta, jnp.asarray(X)).hard()
    assert set(np.unique(jax.vmap(hard.sample)(jax.random.split(key, 20)))) == {0.0, 1.0}


def test_batch_normalisation_of_the_tanh_layers(key):
    """In training by the batch, before the tanh; the running averages move by a hundredth."""
    recognition = posterior(2, normalization=batch_normalization())
    eta, x = recognition.init(key), jnp.asarray(RNG.uniform(size=(8, 5)), jnp.float32)

    def first_logits(eta, x):
        return recognition.r(eta, x).first.logits

    over_batch = jax.vmap(first_logits, (None, 0), axis_name=statistics.DATAPOINTS)
    hidden, params = np.float64(x) - np.float32(MEAN), eta["context"]
    for place in range(2):
        hidden = hidden @ np.float64(params["hidden"][place]["kernel"])
        moments = hidden.mean(axis=0), hidden.var(axis=0)
        hidden = np.tanh((hidden - moments[0]) / np.sqrt(moments[1] + 1e-2))
    expected = hidden @ np.float64(eta["groups"][0]["head"]["kernel"])
    np.testing.assert_allclose(jax.jit(over_batch)(eta, x), expected, rtol=1e-3, atol=1e-4)

    def changed(x):
        return statistics.observed(lambda eta: first_logits(eta, x), eta)[1]

    changes = jax.vmap(changed, axis_name=statistics.DATAPOINTS, out_axes=None)(x)
    new = statistics.replaced(eta, changes)["context"]["normalized"][1]
    np.testing.assert_allclose(new["mean"], 0.01 * moments[0], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(new["var"], 0.99 + 0.01 * moments[1], rtol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_groups": 3}, "^num_groups is 3: give a number that divides latent_size=4$"),
        ({"num_groups": 0}, "^num_groups is 0: give a number that divides latent_size=4$"),
        ({"num_smoothed": 2}, "^num_smoothed is 2: give 1 to num_groups=1$"),
        ({"num_smoothed": 0}, "^num_smoothed is 0: give 1 to num_groups=1$"),
        ({"hidden_sizes": (5, 0)}, r"^hidden_sizes is \(5, 0\): give positive widths$"),
        ({"hidden_sizes": (5,), "latent_size": 0}, "divides latent_size=0$"),
    ],
)
def test_wrong_sizes_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        grouped_recognition(MEAN, **{"latent_size": 4, **options})
