"""A Boltzmann machine as the prior of a model: log Z in one place, whatever the method."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import remjax
from remjax import Batch, InputError, Particles, boltzmann, make_estimator
from remjax.boltzmann import NormalizedMachine
from remjax.distributions import Bernoulli
from remjax.methods import (
    Method,
    Sum,
    disarm,
    from_r,
    inclusive_kl,
    nvil,
    reinforce,
    rem_v1,
    rem_v2,
    rloo,
    rws,
    tvo,
    vimco,
    warm_up,
    with_dreams,
)
from remjax.methods.sums import log_joint
from remjax.models import boltzmann_model, normalize_prior, prior_machine, with_boltzmann_prior
from tests.models import tiny_boltzmann as tiny

PHASES = {
    "pcd": boltzmann.pcd(16, 2),
    "tempered": boltzmann.tempered_pcd(16, 1, 3),
    "population": boltzmann.population(32, 1, 4),
}
IMAGES = jnp.asarray(np.random.default_rng(0).integers(0, 2, (6, tiny.DATA_SIZE)), jnp.float32)
BATCH = Batch(IMAGES, jnp.arange(6))
# theta's coefficients sum to 3.5 and to the effective number of particles.
SCALED = Method(Sum(lambda *_: jnp.asarray(0.5), log_joint), from_r, inclusive_kl, from_r)
UNEVEN = Method(
    Sum(lambda _, particle: particle.weight * particle.num_particles * particle.weight, log_joint),
    from_r,
    inclusive_kl,
    from_r,
)
METHODS = {
    "rws": (rws(), 4, None),
    "rws, two kept": (rws(), 4, 2),
    "scaled": (SCALED, 7, None),
    "uneven": (UNEVEN, 4, None),
    "nvil": (nvil(), 2, None),
}
OTHERS = {
    "reinforce": (reinforce, 4, None),
    "rloo": (rloo, 4, None),
    "disarm": (disarm, 4, None),
    "vimco": (vimco(), 4, None),
    "tvo": (tvo(), 4, None),
    "rem_v1": (rem_v1(), 4, None),
    "rem_v2": (rem_v2(), 4, None),
}


def wrapped(method, num_particles=4, phase=PHASES["pcd"], keep=None, **options):
    particles = Particles(num_particles, keep=keep)
    inner = make_estimator(tiny.MODEL, tiny.RECOGNITION, method, particles)
    return with_boltzmann_prior(inner, phase, **options)


def assert_close(ours, exact):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5), ours, exact)


def gradient(estimator, params, state, key):
    def loss(params):
        estimate, _ = estimator.estimate(params, state, key, BATCH)
        return estimate.theta_loss + estimate.eta_loss

    return jax.grad(loss)(params)


@pytest.mark.parametrize(
    ("method", "num_particles"), [(reinforce, 1), (vimco(), 2)], ids=["reinforce", "vimco"]
)
def test_expected_gradients_are_those_of_the_exact_objective(method, num_particles):
    """Every tuple of particles, every state of the prior: no noise, log Z by summation."""

    def make(recognition):
        inner = make_estimator(tiny.MODEL, recognition, method, Particles(num_particles))
        return with_boltzmann_prior(inner, tiny.Enumerated())

    ours = tiny.expected_gradient(make, tiny.params(), num_particles)
    exact = jax.jit(jax.grad(lambda p: -tiny.bound(p, num_particles)))(tiny.params())
    assert_close(ours, exact)


@pytest.mark.parametrize(
    "case",
    [
        *(pytest.param(case, id=name) for name, case in METHODS.items()),
        *(
            pytest.param(case, id=name, marks=pytest.mark.exhaustive)
            for name, case in OTHERS.items()
        ),
    ],
)
def test_gradients_are_those_with_log_z_differentiated(case):
    """Draw by draw, whatever the coefficients of log p(z) sum to."""
    method, count, keep = case
    particles = Particles(count, keep=keep)
    plain = make_estimator(tiny.normalized_model(), tiny.RECOGNITION, method, particles)
    ours = wrapped(method, count, tiny.Enumerated(), keep)
    _, state = ours.init(jax.random.key(4))
    params = ours.init(jax.random.key(4))[0]._replace(
        theta=tiny.params().theta, eta=tiny.params().eta
    )
    key = jax.random.key(5)
    found = jax.jit(lambda p: gradient(ours, p, state, key))(params)
    inner_key = jax.random.split(key)[0]
    exact = jax.jit(lambda p: gradient(plain, p, state.inner, inner_key))(params)
    assert_close(found, exact)


@pytest.mark.parametrize("phase", PHASES.values(), ids=PHASES)
def test_training_raises_the_bound(phase):
    """By 300 updates from zero couplings, whether the phase estimates log Z or not."""
    estimator = wrapped(rws(), 8, phase, weight_decay=1e-4)
    optimizer = optax.adam(3e-2)
    state = remjax.init_train_state(estimator, optimizer, jax.random.key(0), IMAGES)
    step = remjax.make_train_step(estimator, optimizer)
    evidence = []
    for _ in range(300):
        state, metrics = step(state, jax.tree.map(jnp.copy, BATCH))
        log_z = boltzmann.log_partition(prior_machine(state.params.theta))
        given = "unnormalized_log_evidence" in metrics
        assert given != ("log_evidence" in metrics)
        evidence.append(
            float(
                metrics["unnormalized_log_evidence"] - log_z if given else metrics["log_evidence"]
            )
        )
    assert np.mean(evidence[-30:]) > np.mean(evidence[:30]) + 0.5
    machine = prior_machine(state.params.theta)
    assert jnp.abs(machine.weights).max() > 0.1
    assert step._cache_size() == 1


@pytest.mark.parametrize("updates", [0, 3, 10])
def test_unnormalized_evidence_has_log_z_by_the_weight_of_the_kl_term(updates):
    """At its start, within and after a warm-up of ten updates, beside a model with the exact log Z.

    That holds whatever stands in for log Z.
    """
    method = warm_up(vimco(), 10)
    plain = make_estimator(tiny.normalized_model(), tiny.RECOGNITION, method, Particles(4))
    ours = wrapped(method, 4, boltzmann.pcd(4))
    params, state = ours.init(jax.random.key(4))
    params = params._replace(theta=tiny.params().theta, eta=tiny.params().eta)
    state = state._replace(inner=state.inner._replace(updates=jnp.asarray(updates)))
    key = jax.random.key(5)
    found = jax.jit(ours.estimate)(params, state, key, BATCH)[0].metrics
    inner_key = jax.random.split(key)[0]
    exact = jax.jit(plain.estimate)(params, state.inner, inner_key, BATCH)[0].metrics
    log_z = boltzmann.log_partition(prior_machine(params.theta))
    assert found["kl_weight"] == pytest.approx(updates / 10)
    np.testing.assert_allclose(
        found["unnormalized_log_evidence"] - found["kl_weight"] * log_z,
        exact["log_evidence"],
        atol=1e-4,
    )


def test_the_sleep_phase_dreams_from_the_chains():
    estimator = wrapped(with_dreams(rws(), 0.5, 4), 4)
    params, state = estimator.init(jax.random.key(0))
    params = params._replace(theta=tiny.params().theta)
    estimate, state = jax.jit(estimator.estimate)(params, state, jax.random.key(1), BATCH)
    assert np.isfinite(estimate.theta_loss)
    assert np.isfinite(estimate.eta_loss)


def test_samples_are_those_of_the_machine():
    """4,000 draws by weight of an enumerated record, and by chains: five standard errors."""
    machine = prior_machine(tiny.params().theta)
    every = boltzmann.Units(tiny.STATES[:, : tiny.SIDE], tiny.STATES[:, tiny.SIDE :])
    log_p = tiny.log_prior(tiny.params().theta)
    weighted = NormalizedMachine(machine, jnp.zeros(()), every.visible, log_p)
    keys = jax.random.split(jax.random.key(2), 4000)
    exact = jnp.exp(log_p) @ tiny.STATES
    for distribution in (weighted, NormalizedMachine(machine)):
        drawn = np.asarray(jax.jit(jax.vmap(distribution.sample))(keys))
        error = np.sqrt(exact * (1 - exact) / len(keys))
        assert np.all(np.abs(drawn.mean(axis=0) - exact) < 5 * error)


def test_kl_of_independent_bits_to_a_machine_is_exact():
    theta = tiny.params().theta
    q = Bernoulli(jnp.asarray(np.random.default_rng(1).normal(size=2 * tiny.SIDE), jnp.float32))
    log_q = jax.vmap(q.log_prob)(tiny.STATES)
    exact = jnp.exp(log_q) @ (log_q - tiny.log_prior(theta))
    record = boltzmann.exact(prior_machine(theta))
    p = tiny.MODEL.joint(normalize_prior(theta, record), tiny.X).prior
    np.testing.assert_allclose(q.kl_divergence(p), exact, rtol=1e-5)


def test_evaluation_takes_a_given_log_z():
    """4,000 fair coins on every image of four pixels: five standard errors by their ESS."""
    params = tiny.params()
    log_z = boltzmann.exact(prior_machine(params.theta)).log_z
    fair = jax.tree.map(jnp.zeros_like, params.eta)
    params = params._replace(theta=normalize_prior(params.theta, log_z), eta=fair)
    images = np.asarray(list(np.ndindex(2, 2, 2, 2)), np.float32)
    found = remjax.log_likelihood(
        tiny.MODEL, tiny.RECOGNITION, params, jax.random.key(0), images, num_particles=4000
    )
    theta = tiny.params().theta
    exact = jax.nn.logsumexp(jax.vmap(lambda x: tiny.log_joint(theta, x))(images), axis=1)
    error = np.sqrt(1.0 / found.ess - 1.0 / 4000)
    assert np.all(np.abs(found.log_likelihood - exact) < 5 * error)


def test_wrong_inputs():
    inner = make_estimator(tiny.MODEL, tiny.RECOGNITION, rws(), Particles(2))
    with pytest.raises(InputError, match="begin at"):
        with_boltzmann_prior(inner, boltzmann.cd())
    with pytest.raises(InputError, match="weight_decay is -1"):
        with_boltzmann_prior(inner, boltzmann.pcd(), weight_decay=-1.0)
    with pytest.raises(InputError, match="with_boltzmann_prior"):
        inner.estimate(tiny.params(), (), jax.random.key(0), BATCH)
    with pytest.raises(InputError, match="0 Boltzmann machines"):
        prior_machine({"prior": jnp.zeros(3)})
    with pytest.raises(InputError, match="hidden_size is 0"):
        boltzmann_model(tiny.LIKELIHOOD, visible_size=2, hidden_size=0)
