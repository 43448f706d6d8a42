"""Relaxed Boltzmann priors in methods, training and evaluation, and what does not go together."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import remjax
from experiments.run.methods import WITH_RECOGNITION
from remjax import (
    Batch,
    InputError,
    Params,
    Particles,
    bernoulli_likelihood,
    boltzmann,
    make_estimator,
)
from remjax.boltzmann import log_partition
from remjax.distributions import Concrete, OverlappingExponentials, PowerFunction
from remjax.evaluation import latent_use, make_log_likelihood
from remjax.methods import iwae, reinforce, vae
from remjax.models import (
    RawHeads,
    boltzmann_model,
    boltzmann_prior,
    gaussian_recognition,
    grouped_recognition,
    normalize_prior,
    prior_machine,
    undirected_recognition,
    with_boltzmann_prior,
)
from tests.models import tiny_boltzmann as tiny

MEAN = np.full(4, 0.4)
LIKELIHOOD = bernoulli_likelihood(MEAN)
X = np.array([[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0]], np.float32)
POWER = PowerFunction()


def model_of(smoothing=POWER, side=2):
    sizes = {"visible_size": side, "hidden_size": side, "hidden_sizes": (5,)}
    return boltzmann_model(LIKELIHOOD, **sizes, smoothing=smoothing)


def recognition_of(side=2, **options):
    return grouped_recognition(MEAN, latent_size=2 * side, hidden_sizes=(5,), **options)


def estimator_of(method, smoothing, side, num_particles, num_groups=1):
    recognition = recognition_of(side, smoothing=smoothing, num_groups=num_groups)
    inner = make_estimator(model_of(smoothing, side), recognition, method, Particles(num_particles))
    return with_boltzmann_prior(inner, tiny.Enumerated()), recognition


def weakly_coupled(params):
    """Where mean field is nearly exact."""
    theta = tiny.perturbed(params.theta, 0.4)
    prior = theta["prior"]
    theta["prior"] = boltzmann.RBM(0.3 * prior.weights, prior.visible_bias, prior.hidden_bias)
    return Params(theta, tiny.perturbed(params.eta, 0.4))


@pytest.mark.parametrize("method", [vae(), reinforce], ids=["vae", "reinforce"])
def test_the_expected_gradient_is_that_of_the_bound(method, key):
    """Of 1 + 1 bits: the sum over bits in p(zeta), quadrature over zeta; five standard errors."""
    smoothing = OverlappingExponentials(6.0)
    estimator, recognition = estimator_of(method, smoothing, 1, 40)
    params, state = estimator.init(key)
    params, model = weakly_coupled(params), model_of(None, 1)
    batch = Batch(jnp.asarray(X[:1]), jnp.zeros(1, int))

    nodes, mass = np.polynomial.legendre.leggauss(24)
    nodes, mass = jnp.asarray(0.5 * nodes + 0.5, jnp.float32), 0.5 * mass
    grid = jnp.stack(jnp.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    mass = jnp.asarray(np.outer(mass, mass).ravel(), jnp.float32)
    states = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])

    def log_r(zeta, states):
        """sum_i log r(zeta_i | z_i) of every state, written out."""
        size = (1 - np.exp(-6.0)) / 6.0
        distance = jnp.where(states == 1.0, 1.0 - zeta, zeta)
        return jnp.sum(-6.0 * distance - np.log(size), axis=-1)

    def exact(params):
        machine = prior_machine(params.theta)
        log_p = jax.vmap(lambda z: -machine.energy(boltzmann.Units(z[:1], z[1:])))(states)
        log_p -= log_partition(machine)
        log_q = jax.vmap(recognition.r(params.eta, batch.x[0]).hard().log_prob)(states)

        def of_zeta(zeta):
            own = jax.nn.logsumexp(log_q + log_r(zeta, states))
            prior = jax.nn.logsumexp(log_p + log_r(zeta, states))
            likelihood = model.log_likelihood(params.theta, batch.x[0], zeta)
            return jnp.exp(own) * (likelihood + prior - own)

        return -mass @ jax.vmap(of_zeta)(grid)

    def loss(params, key):
        estimate = estimator.estimate(params, state, key, batch)[0]
        return estimate.theta_loss + estimate.eta_loss

    keys = jax.random.split(key, 400)
    drawn = jax.jit(jax.vmap(jax.grad(loss), in_axes=(None, 0)))(params, keys)
    expected = jax.jit(jax.grad(exact))(params)
    for rows, value in zip(jax.tree.leaves(drawn), jax.tree.leaves(expected), strict=True):
        error = np.std(rows, axis=0) / np.sqrt(len(keys))
        # The means are found in five sweeps and stand still.
        assert np.all(np.abs(np.mean(rows, axis=0) - value) < 5 * error + 1e-3)


@pytest.mark.parametrize("name", WITH_RECOGNITION.methods)
def test_methods_for_real_latents_serve_and_others_say_so(name):
    """Refused: those that match an s to the particles' moments, and those of bits."""
    method = WITH_RECOGNITION.default_of(name)
    estimator, _ = estimator_of(method, POWER, 2, 20, num_groups=2)
    batch = Batch(jnp.asarray(X), jnp.arange(2))

    def trace():
        params, state = jax.eval_shape(estimator.init, jax.random.key(0))
        jax.eval_shape(estimator.estimate, params, state, jax.random.key(0), batch)

    refusals = {"disarm": "is for bits", "nvil": "drawn bottom up and Model.prior of the same"}
    if name.startswith("rem"):
        refusals[name] = "SmoothedBernoulli is known by its mean"
    if name in refusals:
        with pytest.raises(InputError, match=refusals[name]):
            trace()
    else:
        trace()


@pytest.mark.parametrize("method", [vae(), iwae], ids=["vae", "iwae"])
def test_training_raises_the_bound(method):
    """200 updates on images of two kinds, and the likelihood of the bits behind with it."""
    rng = np.random.default_rng(0)
    kinds = np.array([[1, 1, 0, 0], [0, 0, 1, 1]])
    images = jnp.asarray(kinds[rng.integers(0, 2, 40)] ^ (rng.random((40, 4)) < 0.05), jnp.float32)
    estimator, recognition = estimator_of(method, POWER, 3, 4, num_groups=2)
    optimizer = optax.adam(2e-2)
    state = remjax.init_train_state(estimator, optimizer, jax.random.key(0), images)
    epoch = remjax.make_epoch(estimator, optimizer, num_data=len(images), batch_size=20)
    evaluate = make_log_likelihood(model_of(POWER, 3), recognition, num_particles=100)
    bounds, scores = [], []
    for updates in (2, 200):
        state = epoch(state, images, updates)
        log_z = log_partition(prior_machine(state.params.theta))
        params = state.params._replace(theta=normalize_prior(state.params.theta, log_z))
        scores.append(evaluate(params, jax.random.key(1), images).mean)
        bounds.append(float(remjax.metric_means(state)["log_evidence"]))
    assert bounds[1] > bounds[0] + 0.5
    assert scores[1] > scores[0] + 0.5
    # The images are two kinds with an entropy of log 2, and four flips with one of 0.2 each.
    entropy = np.log(2) - 4 * (0.05 * np.log(0.05) + 0.95 * np.log(0.95))
    np.testing.assert_allclose(scores[1], -entropy, atol=0.3)
    assert bounds[1] < scores[1] + 0.1


def test_evaluation_is_of_the_bits(key):
    """The same numbers as with a model and a recognition network of bits."""
    evaluated = []
    for smoothing in (None, POWER):
        model = model_of(smoothing)
        recognition = recognition_of(smoothing=smoothing, num_groups=2)
        params = tiny.perturbed(Params(model.init(key), recognition.init(key)))
        log_z = log_partition(prior_machine(params.theta))
        params = params._replace(theta=normalize_prior(params.theta, log_z))
        found = make_log_likelihood(model, recognition, num_particles=20)(params, key, X)
        use = latent_use(model, recognition, params, key, X, num_samples=20)
        evaluated.append([*found.log_likelihood, use.kl_to_prior])
    np.testing.assert_allclose(*evaluated, rtol=1e-6)


def test_a_model_dreams_numbers(key):
    model = model_of()
    theta = tiny.perturbed(model.init(key))
    z, x = model.sample(theta, key)
    assert (z.shape, x.shape) == ((4,), (4,))
    assert np.all((z >= 0.0) & (z <= 1.0))
    assert set(np.asarray(x)) <= {0.0, 1.0}


BITS = boltzmann_model(LIKELIHOOD, visible_size=2, hidden_size=2, hidden_sizes=(5,))
UNDIRECTED = {"visible_size": 2, "hidden_size": 2, "hidden_sizes": (5,)}


@pytest.mark.parametrize(
    ("model", "recognition", "words"),
    [
        (model_of(), recognition_of(), "and r is of bits: give r the same smoothing"),
        (model_of(), recognition_of(relaxation=POWER), "and r is of relaxed bits: give r the same"),
        (
            model_of(),
            recognition_of(smoothing=PowerFunction(3.0)),
            r"and r is one of bits smoothed by the power function\(beta 3\): give r the same",
        ),
        (
            model_of(),
            undirected_recognition(MEAN, **UNDIRECTED, relaxation=POWER),
            "and r is of relaxed bits: give r the same smoothing",
        ),
        (
            model_of(),
            gaussian_recognition(MEAN, latent_size=4, hidden_sizes=(5,)),
            "and r is of real numbers: give r the same smoothing",
        ),
        (BITS, recognition_of(smoothing=POWER), "and the prior scores bits: give the model the"),
    ],
)
def test_a_posterior_and_a_prior_go_together(model, recognition, words):
    inner = make_estimator(model, recognition, vae(), Particles(2))
    estimator = with_boltzmann_prior(inner, boltzmann.pcd(4, 1))
    with pytest.raises(InputError, match=words):
        remjax.init_train_state(estimator, optax.sgd(0.1), jax.random.key(0), X)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: model_of(Concrete()), "the smoothing is Concrete"),
        (lambda: recognition_of(smoothing=Concrete()), "the smoothing is Concrete"),
        (
            lambda: recognition_of(smoothing=POWER, relaxation=POWER),
            "a smoothing and relaxation: only independent bits",
        ),
        (lambda: recognition_of(smoothing=POWER, heads=RawHeads), "a smoothing and heads: only"),
        (lambda: boltzmann_prior(2, 2, POWER, 0), "num_sweeps is 0: give 1 or more"),
    ],
)
def test_what_cannot_be_smoothed_is_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()
