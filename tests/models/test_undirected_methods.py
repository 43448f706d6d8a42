"""Methods with an undirected posterior: what they estimate, and what they refuse."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import remjax
from remjax import Batch, InputError, Particles, boltzmann, log_likelihood, make_estimator
from remjax.boltzmann import RBM, UndirectedPosterior
from remjax.boltzmann.pytrees import frozen_pytree
from remjax.distributions import Drawn, PiecewiseLinear, StraightThrough
from remjax.methods import (
    dreg,
    dvae,
    iwae,
    nvil,
    reinforce,
    rem_mixture,
    rem_v1,
    rem_v2,
    rloo,
    rws,
    rws_defensive,
    rws_dreg,
    stl,
    tvo,
    vae,
    vimco,
    wake_sleep,
    warm_up,
    with_dreams,
)
from remjax.models import normalize_prior, prior_machine, with_boltzmann_prior
from remjax.types import Memory, Recognition
from tests.models import tiny_boltzmann as tiny

SIDE = tiny.SIDE
SIDES = jnp.asarray(list(itertools.product((0.0, 1.0), repeat=SIDE)))


def machine_of(eta, x):
    """An RBM whose parameters are linear in x."""
    return jax.tree.map(lambda leaf: jnp.tensordot(x - 0.5, leaf, 1) + leaf[0], eta)


def init(_):
    rng, size = np.random.default_rng(2), tiny.DATA_SIZE
    shapes = (size, SIDE, SIDE), (size, SIDE), (size, SIDE)
    leaves = (jnp.asarray(0.7 * rng.normal(size=shape), jnp.float32) for shape in shapes)
    # Not through `__init__`, which takes one machine.
    return jax.tree.unflatten(
        jax.tree.structure(RBM(jnp.zeros((1, 1)), jnp.zeros(1), jnp.zeros(1))), list(leaves)
    )


def recognition(num_chains=2, relaxation=None, cls=UndirectedPosterior, num_sweeps=5, **options):
    def distribution(eta, x):
        return cls(machine_of(eta, x), relaxation, **options)

    def advance(params, key, x, r, memory):
        return r.advance(key, memory, num_sweeps) if num_sweeps else memory

    memory = Memory(lambda key: jax.random.bernoulli(key, 0.5, (num_chains, SIDE)), advance)
    return Recognition(init, distribution, memory)


PARAMS = tiny.params()._replace(eta=init(None))
THETA = normalize_prior(PARAMS.theta, jax.nn.logsumexp(jnp.zeros(64)))


def log_q(eta):
    machine, v, h = machine_of(eta, tiny.X), tiny.STATES[:, :SIDE], tiny.STATES[:, SIDE:]
    gain = v @ machine.visible_bias + h @ machine.hidden_bias
    return jax.nn.log_softmax(gain + jnp.sum((v @ machine.weights) * h, axis=1))


@frozen_pytree
@dataclasses.dataclass(frozen=True)
class Assigned(UndirectedPosterior):
    """An undirected posterior whose particle k is the one assigned to it, weighted as ever."""

    assigned: jax.Array | None = None

    def at(self, memory):
        chains, assigned = memory
        return dataclasses.replace(self, chains=chains, assigned=assigned)

    def particle(self, key, index):
        z = self.assigned[index]
        return Drawn(z, key, jax.lax.stop_gradient(self.log_prob(z)))


def gradient(estimator, params, memory, key):
    def loss(params):
        batch = Batch(
            tiny.X[None], jnp.zeros(1, int), jax.tree.map(lambda leaf: leaf[None], memory)
        )
        estimate, _ = estimator.estimate(params, (), key, batch)
        return estimate.theta_loss + estimate.eta_loss

    return jax.grad(loss)(params)


def wake(params, num_particles):
    """Minus L_K of theta and -E sum_k w_k log q(z_k) of eta, q normalised, by summation."""
    every, own = tiny.tuples(num_particles), log_q(params.eta)
    log_p = tiny.log_joint(params.theta)
    fixed = jax.lax.stop_gradient(own)
    log_w = (log_p - fixed)[every]
    probability = jnp.exp(jnp.sum(fixed[every], axis=1))
    weights = jax.lax.stop_gradient(jax.nn.softmax(log_w, axis=1))
    of_theta = jax.nn.logsumexp(log_w, axis=1)
    return -probability @ (of_theta + jnp.sum(weights * own[every], axis=1))


@pytest.mark.parametrize("keep", [None, 1])
def test_rws_has_the_gradient_of_its_claim_with_exact_chains(keep):
    """Every pair of particles, every chain by its probability: log Z of q is never needed."""
    r = recognition(cls=Assigned, num_sweeps=0)
    inner = make_estimator(tiny.MODEL, r, rws(), Particles(2, keep=keep))
    estimator = with_boltzmann_prior(inner, tiny.Enumerated())
    state = estimator.init(jax.random.key(0))[1]

    def of_state(*given):
        def loss(params):
            estimate, _ = estimator.estimate(params, state, jax.random.key(0), batch(*given))
            return estimate.theta_loss + estimate.eta_loss

        return loss

    def batch(code, numbers):
        memory = (SIDES[code][None, None] > 0.5, tiny.STATES[numbers][None])
        return Batch(tiny.X[None], jnp.zeros(1, int), memory)

    @jax.jit
    def expected(params):
        own = jnp.exp(log_q(params.eta))
        of_chain = own.reshape(2**SIDE, -1).sum(axis=1)
        every = tiny.tuples(2)
        codes = jnp.repeat(jnp.arange(2**SIDE), len(every))
        numbers = jnp.tile(every, (2**SIDE, 1))
        probability = of_chain[codes] * jnp.prod(own[numbers], axis=1)
        each = jax.lax.map(
            lambda given: jax.grad(of_state(*given))(params), (codes, numbers), batch_size=1024
        )
        return jax.tree.map(lambda leaf: jnp.tensordot(probability, leaf, 1), each)

    found, exact = expected(PARAMS), jax.jit(jax.grad(lambda p: wake(p, 2)))(PARAMS)
    if keep is None:
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=3e-5), found, exact
        )
    else:  # theta's is that of one particle of the two, drawn by one key; eta's sum is exact
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=3e-5),
            found.eta,
            exact.eta,
        )


@pytest.mark.parametrize(
    "method", [stl, dreg, rws_dreg, dvae], ids=["stl", "dreg", "rws_dreg", "dvae"]
)
def test_path_derivatives_vanish_at_an_exact_posterior(method):
    """Draw by draw: a machine as prior, x without any tie to z, and q the prior."""
    prior = jax.tree.map(jnp.asarray, PARAMS.theta["prior"])
    model = tiny.MODEL._replace(log_likelihood=lambda theta, x, z: jnp.zeros(()))
    r = Recognition(
        lambda key: prior,
        lambda eta, x: UndirectedPosterior(eta, PiecewiseLinear(), 2),
        recognition().memory,
    )
    estimator = make_estimator(model, r, method, Particles(3))
    params = PARAMS._replace(theta=THETA, eta=prior)
    found = jax.jit(lambda p: gradient(estimator, p, SIDES[2:5] > 0.5, jax.random.key(1)))(params)
    assert all(np.abs(leaf).max() < 1e-5 for leaf in jax.tree.leaves(found.eta))


def test_the_kl_term_at_means_has_the_same_expectation_and_less_noise():
    """4,000 keys, straight-through bits, whose mean is exact: five standard errors."""
    memory = SIDES[5:6] > 0.5
    theta = normalize_prior(PARAMS.theta, boltzmann.exact(prior_machine(PARAMS.theta)))
    params = PARAMS._replace(theta=theta)
    r = recognition(relaxation=StraightThrough())
    keys = jax.random.split(jax.random.key(4), 4000)
    rows = []
    for method in (stl, dvae):
        estimator = make_estimator(tiny.MODEL, r, method, Particles(1))
        found = jax.jit(jax.vmap(lambda key, e=estimator: gradient(e, params, memory, key)))(keys)
        machine = found.theta["prior"].machine
        flat = [np.reshape(leaf, (4000, -1)) for leaf in jax.tree.leaves((machine, found.eta))]
        rows.append(np.concatenate(flat, axis=1).astype(np.float64))
    difference = rows[0] - rows[1]
    error = difference.std(axis=0) / np.sqrt(len(keys))
    assert np.all(np.abs(difference.mean(axis=0)) < 5 * error + 1e-6)
    assert rows[1].var(axis=0).sum() < rows[0].var(axis=0).sum()


RELAXED = {"relaxation": PiecewiseLinear(), "num_chains": 3}
SERVED = {
    "rws": (rws(), {}),
    "rem_v1": (rem_v1(), {}),
    "rem_v2": (rem_v2(), {}),
    "stl": (stl, RELAXED),
    "dreg": (dreg, RELAXED),
    "vae": (vae(), RELAXED),
    "dvae": (dvae, RELAXED),
    "iwae": (iwae, RELAXED),
    "dreg, warmed up": (warm_up(dreg, 5), RELAXED),
    "rem_v1, warmed up": (warm_up(rem_v1(), 5), {}),
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("rws", "stl") else pytest.mark.exhaustive)
        for name in SERVED
    ],
)
def test_methods_that_serve_train_with_chains_and_are_finite_without(name):
    method, options = SERVED[name]
    inner = make_estimator(tiny.MODEL, recognition(**options), method, Particles(3))
    estimator = with_boltzmann_prior(inner, boltzmann.pcd(8))
    data = jnp.asarray(np.random.default_rng(0).integers(0, 2, (6, tiny.DATA_SIZE)), jnp.float32)
    optimizer = optax.adam(1e-2)
    state = remjax.init_train_state(estimator, optimizer, jax.random.key(0), data)
    assert state.memory.dtype == jnp.uint8
    before = jax.tree.map(jnp.copy, (state.memory, state.params.eta))
    step = remjax.make_train_step(estimator, optimizer)
    index = jnp.arange(4)
    for _ in range(2):
        state, metrics = step(state, Batch(data[:4], index))
    assert step._cache_size() == 1
    assert all(np.isfinite(value) for value in metrics.values()), metrics
    assert state.skipped_updates == 0
    np.testing.assert_array_equal(state.memory[4:], before[0][4:])
    assert np.any(state.memory[:4] != before[0][:4])
    moved = jax.tree.map(lambda a, b: jnp.abs(a - b).max() > 0, state.params.eta, before[1])
    assert all(jax.tree.leaves(moved))
    # A new image: no memory.
    estimate, _ = jax.jit(estimator.estimate)(
        state.params, state.estimator_state, jax.random.key(3), Batch(data[:2], index[:2])
    )
    assert np.isfinite(estimate.theta_loss + estimate.eta_loss)


def test_a_skipped_update_leaves_the_chains_as_they_were():
    data = jnp.asarray(np.random.default_rng(0).integers(0, 2, (4, tiny.DATA_SIZE)), jnp.float32)
    model = tiny.MODEL._replace(
        log_likelihood=lambda theta, x, z: (
            tiny.MODEL.log_likelihood(theta, x, z) + jnp.where(x[0] > 50.0, jnp.nan, 0.0)
        )
    )
    inner = make_estimator(model, recognition(), rws(), Particles(2))
    estimator = with_boltzmann_prior(inner, boltzmann.pcd(8))
    optimizer = optax.adam(1e-2)
    state = remjax.init_train_state(estimator, optimizer, jax.random.key(0), data)
    before = jax.tree.map(np.array, (state.memory, state.estimator_state))
    step = remjax.make_train_step(estimator, optimizer)
    state, _ = step(state, Batch(data.at[0, 0].set(100.0), jnp.arange(4)))
    assert state.skipped_updates == 1
    after = state.memory, state.estimator_state
    jax.tree.map(np.testing.assert_array_equal, after, before)


def test_weights_of_an_undirected_posterior_have_a_mean_below_the_evidence():
    """E_q[w] over every state: p(x) less the slack of mean field, the same for all states."""
    log_p, own = tiny.log_joint(PARAMS.theta), log_q(PARAMS.eta)
    for chains in (SIDES[:2] > 0.5, SIDES > 0.5):
        q = recognition().r(PARAMS.eta, tiny.X).at(chains)
        log_w = log_p - jax.vmap(q.log_prob)(tiny.STATES)
        gap = float(jax.nn.logsumexp(log_p) - jax.nn.logsumexp(own + log_w))
        assert 0.0 < gap < 1.0


REFUSED = {
    "reinforce": reinforce,
    "rloo": rloo,
    "nvil": nvil(),
    "vimco": vimco(),
    "tvo": tvo(),
    "wake_sleep": wake_sleep,
    "dreams": with_dreams(rws(), 0.5),
    "mixture": rem_mixture(),
    "defensive": rws_defensive(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_methods_that_need_a_normalised_posterior_say_so(name):
    estimator = make_estimator(tiny.MODEL, recognition(), REFUSED[name], Particles(2))
    batch = Batch(tiny.X[None], jnp.zeros(1, int), SIDES[None, :2] > 0.5)
    baseline, state = make_estimator(
        tiny.MODEL, tiny.RECOGNITION, REFUSED[name], Particles(2)
    ).init(jax.random.key(0))
    params = PARAMS._replace(theta=THETA, baseline=baseline.baseline)
    with pytest.raises(InputError, match=r"normalised .*log Z of UndirectedPosterior is not known"):
        jax.eval_shape(estimator.estimate, params, state, jax.random.key(0), batch)


def test_evaluation_by_importance_sampling_says_so():
    with pytest.raises(InputError, match="make_undirected_log_likelihood"):
        log_likelihood(
            tiny.MODEL,
            recognition(),
            PARAMS._replace(theta=THETA),
            jax.random.key(0),
            np.asarray(tiny.X)[None],
            num_particles=4,
        )
