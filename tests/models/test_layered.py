"""Models of several layers: densities in float64, by enumeration, samples, wrong sizes."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from scipy.special import expit

from remjax import methods
from remjax.errors import InputError
from remjax.methods import Particles, make_estimator
from remjax.models.layered import (
    deep_gaussian_model,
    deep_gaussian_recognition,
    sigmoid_belief_network,
    sigmoid_belief_recognition,
)
from remjax.models.likelihoods import bernoulli_likelihood, gaussian_likelihood
from remjax.types import Batch

RNG = np.random.default_rng(0)
MEAN = RNG.uniform(0.2, 0.8, size=4)
X = np.array([1.0, 0.0, 0.0, 1.0])
SIZES = {"latent_sizes": (3, 2), "hidden_sizes": ((6, 5), (4,))}


def array(value):
    return jnp.asarray(value, jnp.float32)


def start(model, recognition, key):
    """theta and eta away from zero biases, so that no term can be forgotten."""

    @jax.jit
    def moved(key):
        leaves, structure = jax.tree.flatten((model.init(key), recognition.init(key)))
        keys = jax.random.split(key, len(leaves))
        pairs = zip(leaves, keys, strict=True)
        noisy = [leaf + 0.3 * jax.random.normal(key, leaf.shape) for leaf, key in pairs]
        return jax.tree.unflatten(structure, noisy)

    return moved(key)


def mlp(params, x):
    """tanh layers and a linear head, in float64."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    hidden = params.get("hidden", {})
    for place in range(len(hidden)):
        x = np.tanh(x @ hidden[place]["kernel"] + hidden[place]["bias"])
    return x @ params["head"]["kernel"] + params["head"]["bias"]


def gaussian_log_prob(params, given, z):
    loc, log_variance = np.split(mlp(params["mlp"], given), 2)
    return scipy.stats.norm(loc, np.exp(0.5 * log_variance)).logpdf(z).sum()


def bits_log_prob(logits, z):
    return np.sum(z * logits - np.logaddexp(0.0, logits))


def scores(model, recognition):
    """Log densities: prior, likelihood, the prior again as a distribution, recognition network."""

    @jax.jit
    def of(theta, eta, x, z):
        joint, r = model.joint(theta, x), recognition.distribution(eta, x)
        return joint.log_prior(z), joint.log_likelihood(z), joint.prior.log_prob(z), r.log_prob(z)

    return of


def test_deep_gaussian_densities_against_scipy(key):
    model = deep_gaussian_model(bernoulli_likelihood(MEAN), **SIZES)
    recognition = deep_gaussian_recognition(MEAN, **SIZES)
    theta, eta = start(model, recognition, key)
    layers = RNG.normal(size=3), RNG.normal(size=2)
    z = tuple(array(layer) for layer in layers)
    prior = scipy.stats.norm().logpdf(layers[1]).sum()
    prior += gaussian_log_prob(theta["prior"]["conditionals"][0], layers[1], layers[0])
    likelihood = bits_log_prob(mlp(theta["network"], layers[0]), X)
    posterior = gaussian_log_prob(eta[0], X - MEAN, layers[0])
    posterior += gaussian_log_prob(eta[1], layers[0], layers[1])
    scored = scores(model, recognition)(theta, eta, array(X), z)
    np.testing.assert_allclose(scored, (prior, likelihood, prior, posterior), rtol=1e-5)


def test_hidden_widths_mirror_one_another(key):
    """From the data upward in the recognition network, downward in the model."""
    model = deep_gaussian_model(bernoulli_likelihood(MEAN), **SIZES)
    recognition = deep_gaussian_recognition(MEAN, **SIZES)
    theta, eta = jax.eval_shape(lambda: (model.init(key), recognition.init(key)))

    def shapes(params):
        hidden = params["hidden"]
        layers = [hidden[place] for place in range(len(hidden))]
        return [layer["kernel"].shape for layer in [*layers, params["head"]]]

    assert shapes(eta[0]["mlp"]) == [(4, 6), (6, 5), (5, 6)]
    assert shapes(eta[1]["mlp"]) == [(3, 4), (4, 4)]
    assert shapes(theta["prior"]["conditionals"][0]["mlp"]) == [(2, 4), (4, 6)]
    assert shapes(theta["network"]) == [(3, 5), (5, 6), (6, 4)]


def all_bits(*sizes):
    """Every latent of layers of these sizes."""
    for bits in itertools.product((0.0, 1.0), repeat=sum(sizes)):
        yield tuple(np.split(np.array(bits), np.cumsum(sizes)[:-1]))


@pytest.mark.parametrize("hidden_sizes", [None, ((3,), (2,))], ids=["linear", "tanh"])
def test_sigmoid_belief_network_by_enumeration(hidden_sizes, key):
    """Three latent bits in two layers: every probability in float64, and their sums are one."""
    sizes = {"latent_sizes": (2, 1), "hidden_sizes": hidden_sizes}
    model = sigmoid_belief_network(bernoulli_likelihood(MEAN), **sizes)
    recognition = sigmoid_belief_recognition(MEAN, **sizes)
    theta, eta = start(model, recognition, key)
    top = np.asarray(theta["prior"]["top"], np.float64)
    latents, expected = list(all_bits(2, 1)), []
    for z1, z2 in latents:
        prior = bits_log_prob(top, z2)
        prior += bits_log_prob(mlp(theta["prior"]["conditionals"][0], z2), z1)
        likelihood = bits_log_prob(mlp(theta["network"], z1), X)
        posterior = bits_log_prob(mlp(eta[0], X - MEAN), z1) + bits_log_prob(mlp(eta[1], z1), z2)
        expected.append((prior, likelihood, prior, posterior))
    z = tuple(array(np.stack(layer)) for layer in zip(*latents, strict=True))
    each_z = jax.vmap(scores(model, recognition), (None, None, None, 0))
    np.testing.assert_allclose(
        np.stack(each_z(theta, eta, array(X), z), axis=1), expected, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(np.exp(expected)[:, [0, 3]].sum(axis=0), 1.0)
    every_x = array([x for (x,) in all_bits(4)])
    each_x = jax.vmap(each_z, (None, None, 0, None))
    log_prior, log_likelihood, *_ = each_x(theta, eta, every_x, z)
    np.testing.assert_allclose(jnp.sum(jnp.exp(log_prior + log_likelihood)), 1.0, rtol=1e-5)


def test_samples_of_a_sigmoid_belief_network_have_its_frequencies(key):
    """20,000 ancestral samples and draws of r against enumeration; five standard errors."""
    sizes = {"latent_sizes": (2, 1)}
    model = sigmoid_belief_network(bernoulli_likelihood(MEAN), **sizes)
    recognition = sigmoid_belief_recognition(MEAN, **sizes)
    theta, eta = start(model, recognition, key)
    r, prior = recognition.distribution(eta, array(X)), model.prior(theta)
    keys = jax.random.split(key, 20_000)
    z, x = jax.jit(jax.vmap(model.sample, (None, 0)))(theta, keys)
    every = [np.concatenate(one) for one in all_bits(2, 1)]
    for drawn, distribution in ((z, prior), (jax.jit(jax.vmap(r.sample))(keys), r)):
        assert [layer.shape for layer in drawn] == [(20_000, 2), (20_000, 1)]
        latents = tuple(np.split(array(every), [2], axis=1))
        probability = np.exp(jax.jit(jax.vmap(distribution.log_prob))(latents))
        bits = np.concatenate(drawn, axis=1)
        frequency = np.array([np.mean(np.all(bits == one, axis=1)) for one in every])
        error = np.sqrt(probability * (1 - probability) / 20_000)
        assert np.all(np.abs(frequency - probability) < 5 * error)
    expected = expit(mlp(theta["network"], np.asarray(z[0], np.float64)))
    np.testing.assert_allclose(jax.vmap(model.mean, (None, 0))(theta, z), expected, rtol=1e-4)
    error = np.sqrt(np.mean(expected * (1 - expected), axis=0) / 20_000)
    assert np.all(np.abs(np.mean(x - expected, axis=0)) < 5 * error)


def test_real_valued_data(key):
    likelihood = gaussian_likelihood(MEAN, np.full(4, 0.3))
    model = deep_gaussian_model(likelihood, **SIZES)
    theta = jax.jit(model.init)(key)
    z, x = jax.jit(model.sample)(theta, key)
    value = jax.jit(model.log_likelihood)(theta, x, z)
    mean = MEAN + 0.3 * mlp(theta["network"], np.asarray(z[0], np.float64))
    expected = scipy.stats.norm(mean, 0.3).logpdf(np.asarray(x)).sum()
    np.testing.assert_allclose(value, expected, rtol=1e-4)


def test_jitted_and_vmapped_equal_one_at_a_time(key):
    recognition = deep_gaussian_recognition(MEAN, **SIZES)
    eta, keys = jax.jit(recognition.init)(key), jax.random.split(key, 3)
    xs = array(RNG.uniform(size=(3, 4)))

    def drawn(x, key):
        r = recognition.distribution(eta, x)
        z = r.rsample(key)
        return z, r.log_prob(z)

    together = jax.jit(jax.vmap(drawn))(xs, keys)
    one_at_a_time = jax.jit(drawn)
    for place in range(3):
        one = one_at_a_time(xs[place], keys[place])
        jax.tree.map(
            lambda a, b, n=place: np.testing.assert_allclose(a, b[n], rtol=1e-4, atol=1e-6),
            one,
            together,
        )


def test_layers_start_apart(key):
    """Two layers of the same shape have weights of their own, and so have model and network."""
    sizes = {"latent_sizes": (4, 4, 4), "hidden_sizes": ((4,), (4,), (4,))}
    eta = jax.jit(deep_gaussian_recognition(np.zeros(4), **sizes).init)(key)
    kernels = [layer["mlp"]["hidden"][0]["kernel"] for layer in eta]
    assert not np.array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[1], kernels[2])


@pytest.mark.parametrize("make", [deep_gaussian_recognition, sigmoid_belief_recognition])
@pytest.mark.parametrize(
    ("latent_sizes", "hidden_sizes", "message"),
    [
        ((), (), r"latent_sizes is \(\): give a positive size for each layer"),
        ((3, 0), ((4,), (4,)), r"latent_sizes is \(3, 0\): give a positive size"),
        ((3, 2), ((4,),), r"for each of the 2 latent layers"),
        ((3,), ((4, 0),), r"hidden_sizes is \(\(4, 0\),\): give positive widths"),
    ],
)
def test_wrong_sizes_are_one_clear_line(make, latent_sizes, hidden_sizes, message):
    with pytest.raises(InputError, match=message) as raised:
        make(MEAN, latent_sizes=latent_sizes, hidden_sizes=hidden_sizes)
    assert "\n" not in str(raised.value)


REAL_LATENTS = {
    "vae": methods.vae(),
    "dreg": methods.dreg,
    "stl": methods.stl,
    "vr": methods.vr(),
    "miwae": methods.miwae(num_groups=2),
    "piwae": methods.piwae(num_groups=2),
    "ciwae": methods.ciwae(),
    "rws": methods.rws(),
    "rws_dreg": methods.rws_dreg,
    "nvil": methods.nvil(),
    "vimco": methods.vimco(),
    "ovis": methods.ovis(),
    "tvo": methods.tvo(),
    "rem_v2": methods.rem_v2(),
    "rem_mixture": methods.rem_mixture(),
    "rem_pooled": methods.rem_pooled(),
}


# The others do the same with other weights, or are these in parts.
OFTEN = {"vae", "miwae", "rws_dreg", "nvil", "vimco", "rem_v2", "rem_pooled"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in OFTEN else pytest.mark.exhaustive)
        for name in REAL_LATENTS
    ],
)
def test_every_method_learns_all_layers(name):
    """Latents are a tuple of two layers: a finite gradient reaches each leaf of both networks."""
    sizes = {"latent_sizes": (3, 2), "hidden_sizes": ((4,), (4,))}
    networks = (
        deep_gaussian_model(bernoulli_likelihood(MEAN), **sizes),
        deep_gaussian_recognition(MEAN, **sizes),
    )
    estimator = make_estimator(*networks, REAL_LATENTS[name], Particles(4))
    params, state = estimator.init(jax.random.key(0))
    images = jnp.asarray(np.random.default_rng(0).integers(0, 2, (3, len(MEAN))), jnp.float32)

    @jax.jit
    def gradient(params):
        def loss(params):
            batch = Batch(images, jnp.arange(3))
            estimate, _ = estimator.estimate(params, state, jax.random.key(1), batch)
            return estimate.theta_loss + estimate.eta_loss

        return jax.grad(loss)(params)

    for leaf in jax.tree.leaves(gradient(params)):
        assert np.all(np.isfinite(leaf))
        assert np.any(leaf != 0.0)
