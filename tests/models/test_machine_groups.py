"""Directed posteriors whose factors are machines: densities in float64, paths, sizes."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from remjax import InputError
from remjax.distributions import Groups, PiecewiseLinear
from remjax.models import IsingHeads, RawHeads, grouped_recognition

RNG = np.random.default_rng(0)
MEAN = RNG.uniform(0.2, 0.8, size=4)
X = np.array([1.0, 0.0, 0.0, 1.0], np.float32)
# Two groups of 1 + 2 bits.
SIZE, GROUP = 6, 3
EVERY = np.array(list(itertools.product((0.0, 1.0), repeat=SIZE)), np.float32)
SHARED = pytest.mark.parametrize("shared_context", [True, False], ids=["shared", "separate"])


def posterior(**options):
    sizes = {"latent_size": SIZE, "num_groups": 2, "hidden_sizes": (3,)}
    return grouped_recognition(MEAN, **{"heads": RawHeads, **sizes, **options})


def parameters(recognition, key):
    """Away from zero biases."""
    leaves, structure = jax.tree.flatten(recognition.init(key))
    noisy = [leaf + jnp.asarray(0.7 * RNG.normal(size=leaf.shape), leaf.dtype) for leaf in leaves]
    return jax.tree.unflatten(structure, noisy)


def dense(params, x):
    return x @ np.float64(params["kernel"]) + np.float64(params["bias"])


def tanh_layers(params, x):
    return np.tanh(dense(params["hidden"][0], x)) if params.get("hidden") else x


def exact_log_prob(eta, z):
    """Each factor by its own parameters, its log Z by all states given the group before."""
    context, total = tanh_layers(eta["context"], np.float64(X) - np.float32(MEAN)), 0.0
    states = np.array(list(itertools.product((0.0, 1.0), repeat=GROUP)))
    for place, params in enumerate(eta["groups"]):
        given = tanh_layers(params.get("layers", {}), np.concatenate([context, z[: place * GROUP]]))
        heads = params["heads"]
        weights = dense(heads["weights"], given).reshape(1, 2)
        biases = np.concatenate(
            [dense(heads[name], given) for name in ("visible_bias", "hidden_bias")]
        )

        def gain(z, weights=weights, biases=biases):
            return z @ biases + np.einsum("...i,ij,...j->...", z[..., :1], weights, z[..., 1:])

        own = z[place * GROUP : (place + 1) * GROUP]
        total += gain(own) - scipy.special.logsumexp(gain(states))
    return total


@SHARED
def test_densities_against_float64_and_their_sum(key, shared_context):
    recognition = posterior(shared_context=shared_context)
    eta = parameters(recognition, key)
    r = recognition.r(eta, jnp.asarray(X))
    assert isinstance(r, Groups)
    assert r.is_discrete
    assert r.is_normalized
    log_prob = np.asarray(jax.jit(jax.vmap(r.log_prob))(EVERY), np.float64)
    np.testing.assert_allclose(log_prob, [exact_log_prob(eta, z) for z in EVERY], rtol=1e-4)
    np.testing.assert_allclose(np.sum(np.exp(log_prob)), 1.0, rtol=1e-5)
    z = jax.jit(jax.vmap(r.sample))(jax.random.split(key, 20_000))
    found = np.bincount(np.asarray(z @ 2.0 ** np.arange(SIZE)[::-1]).astype(int), minlength=64)
    exact = np.exp(log_prob)
    # Five standard errors.
    assert np.all(np.abs(found / 20_000 - exact) < 5 * np.sqrt(exact * (1 - exact) / 20_000))


@SHARED
def test_the_path_of_relaxed_groups_reaches_every_parameter(key, shared_context):
    recognition = posterior(shared_context=shared_context, relaxation=PiecewiseLinear(1.0))
    eta = parameters(recognition, key)

    def last_group(eta):
        keys = jax.random.split(key, 20)
        return jnp.sum(jax.vmap(recognition.r(eta, jnp.asarray(X)).rsample)(keys)[:, GROUP:])

    gradient = jax.jit(jax.grad(last_group))(eta)
    assert all(np.any(leaf != 0.0) for leaf in jax.tree.leaves(gradient))
    hard = recognition.r(eta, jnp.asarray(X)).hard()
    assert set(np.unique(jax.vmap(hard.sample)(jax.random.split(key, 20)))) == {0.0, 1.0}


def test_a_group_at_its_mean_has_the_small_side_of_the_draw(key):
    """The decoder and the KL term see the same: the divergence is that of the decoder's draw."""
    recognition = posterior(relaxation=PiecewiseLinear())
    r = recognition.r(parameters(recognition, key), jnp.asarray(X))
    smoothed, drawn = jax.jit(lambda r: (r.smoothed(key).z, r.rsample(key)))(r)
    np.testing.assert_array_equal(smoothed[: GROUP + GROUP // 2], drawn[: GROUP + GROUP // 2])
    assert np.any(smoothed != drawn)


def test_without_couplings_the_bits_of_a_group_are_independent(key):
    """The same numbers as posteriors without heads give, whose log odds are the biases."""
    recognition = posterior()
    eta = parameters(recognition, key)
    plain = {"context": eta["context"], "groups": []}
    for params in eta["groups"]:
        heads = params["heads"]
        heads["weights"] = jax.tree.map(jnp.zeros_like, heads["weights"])
        both = heads["visible_bias"], heads["hidden_bias"]
        plain["groups"].append({"head": jax.tree.map(lambda *x: jnp.concatenate(x, -1), *both)})
    ours, theirs = recognition.r(eta, jnp.asarray(X)), posterior(heads=None)
    theirs = theirs.r(plain, jnp.asarray(X))
    np.testing.assert_allclose(
        jax.vmap(ours.log_prob)(EVERY), jax.vmap(theirs.log_prob)(EVERY), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_groups": 6}, "^num_groups is 6, of 1 bits each, and .* for 2 to 25: give a number"),
        ({"latent_size": 200, "num_groups": 4}, "^num_groups is 4, of 50 bits each, and log Z of"),
        ({"num_groups": 4}, "^num_groups is 4: give a number that divides latent_size=6$"),
    ],
)
def test_wrong_sizes_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        posterior(**options)


def test_heads_of_a_users_own_serve(key):
    """Those of an Ising model, whose couplings are normalised over the batch."""
    recognition = posterior(heads=IsingHeads, num_groups=1)
    z = recognition.r(recognition.init(key), jnp.asarray(X)).sample(key)
    assert z.shape == (SIZE,)
