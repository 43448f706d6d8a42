"""Log-likelihoods by annealed particles of an undirected posterior, against enumeration."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax import InputError, log_likelihood
from remjax.boltzmann import HarmoniumPosterior, MarginalPosterior, bracket, exact
from remjax.boltzmann.annealing import ais, reverse_ais
from remjax.boltzmann.partition import exact_samples
from remjax.boltzmann.paths import bias_base, linear_inverse_temperatures
from remjax.distributions import Bernoulli, DiagonalGaussian, PiecewiseLinear
from remjax.evaluation import make_undirected_log_likelihood, undirected
from remjax.models import (
    HarmoniumHeads,
    RawHeads,
    bernoulli_likelihood,
    boltzmann_model,
    grouped_recognition,
    normalize_prior,
    prior_machine,
    undirected_recognition,
)
from remjax.types import Model, Params

SIDE, X = 6, 5
MEAN = np.full(X, 0.4)
STATES = jnp.asarray(list(itertools.product((0.0, 1.0), repeat=2 * SIDE)))
IMAGES = np.asarray(list(itertools.product((0.0, 1.0), repeat=X)), np.float32)[::8]
SIZES = {"visible_size": SIDE, "hidden_size": SIDE, "hidden_sizes": (7,)}
MODEL = boltzmann_model(bernoulli_likelihood(MEAN), **SIZES)
# What is relaxed in training is bits here.
RECOGNITION = undirected_recognition(MEAN, heads=RawHeads, relaxation=PiecewiseLinear(), **SIZES)


def perturbed(tree, seed, scale):
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: leaf + jnp.asarray(scale * rng.normal(size=leaf.shape), leaf.dtype), tree
    )


BARE = perturbed(MODEL.init(jax.random.key(0)), 0, 0.6)
ETA = perturbed(RECOGNITION.init(jax.random.key(1)), 1, 0.6)
RECORD = exact(prior_machine(BARE))
PARAMS = Params(normalize_prior(BARE, RECORD), ETA)


@jax.jit
def log_evidence(theta, x):
    """log p(x) by summation over 4,096 states."""
    return jax.nn.logsumexp(jax.vmap(MODEL.joint(theta, x))(STATES))


EXACT = np.asarray([log_evidence(PARAMS.theta, jnp.asarray(x)) for x in IMAGES], np.float64)


def test_the_weights_have_the_mean_of_the_evidence():
    """Two temperatures, whose annealing is far from done: 1,000 keys, five standard errors.

    The prior is the very machine that particles are annealed to, so that weights are not heavy.
    """
    evaluate = make_undirected_log_likelihood(
        MODEL, RECOGNITION, num_particles=50, num_temperatures=2, chunk_size=30
    )
    x = IMAGES[1]
    machine = RECOGNITION.distribution(ETA, jnp.asarray(x)).machine
    theta = normalize_prior(BARE | {"prior": machine}, exact(machine))
    rows = np.repeat(x[None], 1000, axis=0)
    found = evaluate(PARAMS._replace(theta=theta), jax.random.key(2), rows)
    evidence = float(log_evidence(theta, jnp.asarray(x)))
    ours = np.exp(np.asarray(found.log_likelihood, np.float64) - evidence)
    assert abs(ours.mean() - 1.0) < 5 * ours.std() / np.sqrt(len(ours))
    assert 0.01 < ours.std() < 1.0
    # Final states as if exact: off by more than the error, and so no bound.
    off = np.exp(np.asarray(found.log_likelihood_as_released, np.float64) - evidence)
    assert abs(off.mean() - 1.0) > 5 * off.std() / np.sqrt(len(off))


def test_many_particles_find_the_evidence_as_a_directed_posterior_does():
    """4,000 particles: five standard errors by the ESS, for every image."""
    evaluate = make_undirected_log_likelihood(
        MODEL, RECOGNITION, num_particles=4000, num_temperatures=50
    )
    found = evaluate(PARAMS, jax.random.key(3), IMAGES)
    error = np.sqrt(1.0 / found.ess - 1.0 / 4000)
    assert np.all(np.abs(found.log_likelihood - EXACT) < 5 * error + 1e-4)
    machines = jax.vmap(lambda x: RECOGNITION.distribution(ETA, x).machine)(IMAGES)
    log_z = jax.vmap(lambda machine: exact(machine).log_z)(machines)
    np.testing.assert_allclose(found.log_z, log_z, atol=0.1)
    directed = grouped_recognition(MEAN, latent_size=2 * SIDE, hidden_sizes=(7,))
    theirs = log_likelihood(
        MODEL,
        directed,
        PARAMS._replace(eta=directed.init(jax.random.key(4))),
        jax.random.key(5),
        IMAGES,
        num_particles=4000,
    )
    both = np.sqrt(1.0 / found.ess + 1.0 / theirs.ess)
    assert np.all(np.abs(found.log_likelihood - theirs.log_likelihood) < 5 * both)


def test_the_bracket_of_the_prior_is_part_of_the_figure():
    machine = prior_machine(BARE)
    path, schedule = bias_base(machine), linear_inverse_temperatures(20)
    samples = exact_samples(jax.random.key(6), machine, 200)
    forward = ais(jax.random.key(7), path, schedule, num_chains=200)
    prior = bracket(forward, reverse_ais(jax.random.key(8), path, schedule, samples))
    evaluate = make_undirected_log_likelihood(
        MODEL, RECOGNITION, num_particles=60, num_temperatures=10, chunk_size=60
    )
    calls = []
    found = evaluate(PARAMS._replace(theta=BARE), jax.random.key(9), IMAGES, prior, calls.append)
    assert sum(calls) == len(IMAGES)
    low, high = found.interval
    np.testing.assert_allclose(high - low, abs(float(prior.gap)), atol=1e-4)
    again = evaluate(PARAMS, jax.random.key(9), IMAGES)
    shift = float(prior.log_z) - float(RECORD.log_z)
    np.testing.assert_allclose(again.log_likelihood - shift, found.log_likelihood, atol=1e-4)
    assert again.interval == (again.mean, again.mean)
    assert "by the released scheme" in str(found)


def test_a_figure_does_not_depend_on_the_rows_beside_it():
    options = {"num_particles": 70, "num_temperatures": 5, "chunk_size": 20}
    evaluate = make_undirected_log_likelihood(MODEL, RECOGNITION, **options)
    together = evaluate(PARAMS, jax.random.key(0), IMAGES)
    alone = evaluate(PARAMS, jax.random.key(0), IMAGES[:1])
    np.testing.assert_allclose(together.log_likelihood[:1], alone.log_likelihood, rtol=1e-5)
    assert np.isnan(alone.stderr)


def test_two_chunk_sizes_agree():
    """Other chunks have other draws: 4,000 particles, five standard errors by the ESS."""
    options = {"num_particles": 4000, "num_temperatures": 10}
    found = [
        make_undirected_log_likelihood(MODEL, RECOGNITION, chunk_size=size, **options)(
            PARAMS, jax.random.key(0), IMAGES[:2]
        )
        for size in (500, 4000)
    ]
    error = np.sqrt(sum(1.0 / one.ess for one in found))
    gap = np.abs(found[0].log_likelihood - found[1].log_likelihood)
    assert np.all(gap > 0.0)
    assert np.all(gap < 5 * error)


def test_chunks_bound_the_memory(monkeypatch):
    """Of eight times the particles in as many more chunks the program needs hardly more memory.

    In one chunk it needs several times as much.
    """
    needed = []

    def measured(one, support, mesh, **options):
        def run(params, key, x, progress):
            program = jax.jit(one).lower(params, key, jnp.asarray(x[0])).compile()
            needed.append(program.memory_analysis().temp_size_in_bytes)
            return (np.zeros(1),) * 4

        return run

    monkeypatch.setattr(undirected, "over_datapoints", measured)
    for count, size in ((500, 500), (4000, 500), (4000, 4000)):
        evaluate = make_undirected_log_likelihood(
            MODEL, RECOGNITION, num_particles=count, num_temperatures=5, chunk_size=size
        )
        evaluate(PARAMS, jax.random.key(0), IMAGES[:1])
    few, chunked, whole = needed
    # Beside a chunk there are its four numbers per particle.
    assert chunked < few + 4 * 16 * 4000
    assert whole > 4 * few


def test_one_side_of_a_machine_has_the_evidence():
    """Auxiliary units: w = p(x, v) / f(v), where f sums over them; 4,000 particles, by the ESS."""
    sizes = {"visible_size": 2 * SIDE, "hidden_size": 4, "hidden_sizes": (7,)}
    recognition = undirected_recognition(
        MEAN, heads=RawHeads, posterior=MarginalPosterior, relaxation=PiecewiseLinear(), **sizes
    )
    params = PARAMS._replace(eta=perturbed(recognition.init(jax.random.key(1)), 1, 0.6))
    evaluate = make_undirected_log_likelihood(
        MODEL, recognition, num_particles=4000, num_temperatures=20
    )
    found = evaluate(params, jax.random.key(3), IMAGES)
    error = np.sqrt(1.0 / found.ess - 1.0 / 4000)
    assert np.all(np.abs(found.log_likelihood - EXACT) < 5 * error + 1e-4)
    machines = jax.vmap(lambda x: recognition.distribution(params.eta, x).machine)(IMAGES)
    log_z = jax.vmap(lambda machine: exact(machine).log_z)(machines)
    np.testing.assert_allclose(found.log_z, log_z, atol=0.1)


def test_a_harmonium_has_the_evidence():
    """Two bits and a real number: the evidence is a sum over bits of integrals by quadrature."""
    weights = jnp.asarray([[1.0, -0.5, 0.3], [0.2, 0.7, -1.0]])
    weights = jnp.concatenate([weights, 0.5 * jnp.ones((1, 3))])

    def log_prior(theta, z):
        normal = DiagonalGaussian(jnp.zeros(1), jnp.ones(1))
        return Bernoulli(jnp.zeros(2)).log_prob(z[:2]) + normal.log_prob(z[2:])

    def log_likelihood_of(theta, x, z):
        return Bernoulli(theta + z @ weights).log_prob(x)

    model = Model(lambda key: jnp.zeros(3), log_prior, log_likelihood_of, lambda theta, key: None)
    recognition = undirected_recognition(
        np.full(3, 0.4),
        visible_size=2,
        hidden_size=1,
        hidden_sizes=(4,),
        relaxation=PiecewiseLinear(),
        heads=HarmoniumHeads,
        posterior=HarmoniumPosterior,
    )
    params = Params(jnp.asarray([0.2, -0.1, 0.3]), recognition.init(jax.random.key(0)))
    params = params._replace(eta=perturbed(params.eta, 2, 0.3))
    x = np.asarray(list(itertools.product((0.0, 1.0), repeat=3)), np.float32)[::3]
    real = jnp.linspace(-8.0, 8.0, 801)
    bits = jnp.asarray(list(itertools.product((0.0, 1.0), repeat=2)))
    states = jnp.asarray([[*v, h] for v in np.asarray(bits) for h in np.asarray(real)])
    exact_ones = [
        jax.nn.logsumexp(jax.vmap(model.joint(params.theta, jnp.asarray(row)))(states))
        + jnp.log(real[1] - real[0])
        for row in x
    ]
    evaluate = make_undirected_log_likelihood(
        model, recognition, num_particles=4000, num_temperatures=5
    )
    found = evaluate(params, jax.random.key(3), x)
    error = np.sqrt(1.0 / found.ess - 1.0 / 4000)
    assert np.all(np.abs(found.log_likelihood - np.asarray(exact_ones)) < 5 * error + 1e-4)
    assert np.all(found.ess > 100)


def test_wrong_inputs():
    for options, message in (
        ({"num_particles": 0}, "num_particles is 0"),
        ({"num_temperatures": 0}, "num_temperatures is 0"),
        ({"num_sweeps": 0}, "num_sweeps is 0"),
        ({"chunk_size": 0}, "chunk_size is 0"),
    ):
        with pytest.raises(InputError, match=message):
            make_undirected_log_likelihood(MODEL, RECOGNITION, **options)
    evaluate = make_undirected_log_likelihood(MODEL, RECOGNITION, num_particles=2)
    with pytest.raises(InputError, match="whose log Z is not known"):
        evaluate(PARAMS._replace(theta=BARE), jax.random.key(0), IMAGES)
    with pytest.raises(InputError, match="at least one datapoint"):
        evaluate(PARAMS, jax.random.key(0), IMAGES[:0])
    directed = grouped_recognition(MEAN, latent_size=2 * SIDE, hidden_sizes=(7,))
    evaluate = make_undirected_log_likelihood(MODEL, directed, num_particles=2)
    params = PARAMS._replace(eta=directed.init(jax.random.key(4)))
    with pytest.raises(InputError, match="no Boltzmann machine: use evaluation"):
        evaluate(params, jax.random.key(0), IMAGES)
