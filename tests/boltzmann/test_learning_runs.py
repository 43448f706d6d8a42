"""Training raises the exact likelihood, resumes to the last bit, and is the same on a mesh."""

import functools
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from remjax.boltzmann import (
    cd,
    gaussian_units,
    init_rbm,
    log_partition,
    make_estimator,
    pcd,
    population,
    tempered_pcd,
)
from remjax.errors import InputError
from remjax.training import (
    checkpoints,
    each_part,
    init_train_state,
    make_epoch,
    make_train_step,
    metric_means,
)
from remjax.types import Batch
from tests.boltzmann import machines
from tests.boltzmann.mesh_equivalence import MESHES, PHASES
from tests.training.states import assert_same_bits

_ROOT = Path(__file__).parents[2]
V, H = 6, 4


def bars():
    """240 rows of six bits that depend on one another, and noise."""
    generator = np.random.default_rng(0)
    left = generator.integers(0, 2, (240, 1))
    right = generator.integers(0, 2, (240, 1))
    rows = np.concatenate([left, left, left & right, right, right, 1 - right], axis=1)
    return (rows ^ (generator.random((240, V)) < 0.08)).astype(np.float32)


DATA = bars()
MEAN = DATA.mean(axis=0)


def begin(key):
    return init_rbm(key, H, MEAN, scale=0.1)


@jax.jit
def log_likelihood(machine):
    """The exact mean log p of the data."""
    return jnp.mean(machine.log_prob(jnp.asarray(DATA), log_partition(machine)))


def fitted(phase, steps=3_000, rate=1.0, **options):
    """The log-likelihoods before and after, and the state."""
    estimator = make_estimator(begin, phase, **options)
    optimizer = each_part(optax.identity(), optax.linear_schedule(rate, 0.0, steps))
    state = init_train_state(estimator, optimizer, jax.random.key(0), DATA)
    before = float(log_likelihood(state.params.theta))
    epoch = make_epoch(estimator, optimizer, num_data=len(DATA), batch_size=40)
    state = epoch(state, DATA, steps)
    assert state.skipped_updates == 0
    return before, float(log_likelihood(state.params.theta)), state


@functools.cache
def best():
    """The maximum that exact gradient ascent comes to from the same start."""
    machine = begin(jax.random.split(jax.random.key(0))[0])
    optimizer = optax.adam(0.03)

    @jax.jit
    def ascend(machine):
        def step(_, carry):
            machine, moments = carry
            gradient = jax.grad(lambda one: -log_likelihood(one))(machine)
            updates, moments = optimizer.update(gradient, moments)
            return optax.apply_updates(machine, updates), moments

        return jax.lax.fori_loop(0, 2_000, step, (machine, optimizer.init(machine)))[0]

    return float(log_likelihood(ascend(machine)))


@pytest.mark.parametrize(
    "phase", [cd(1), tempered_pcd(96, 1, 4), population(200, 1, 5)], ids=lambda phase: str(phase)
)
def test_each_negative_phase_raises_the_exact_likelihood(phase):
    """By half of what there is to gain, in 400 updates."""
    before, after, _ = fitted(phase, steps=400)
    assert after > before + 0.5 * (best() - before)


def test_persistent_chains_come_near_to_the_maximum():
    before, after, state = fitted(pcd(200))
    top = best()
    assert before < top - 1.0
    assert abs(after - top) < 0.06
    means = metric_means(state)
    assert abs(means["free_energy_gap"]) < 1.0
    # Of single bits given the others: above the likelihood, and below zero.
    assert after < means["pseudo_log_likelihood"] < 0


def test_without_centring_and_of_real_units():
    before, after, state = fitted(pcd(64), steps=300, rate=0.3, centring=None)
    assert after > before + 0.1
    np.testing.assert_allclose(state.estimator_state.offsets.visible, np.clip(MEAN, 0.01, 0.99))

    data = np.random.default_rng(1).normal(size=(64, 3)).astype(np.float32) * [1.0, 2.0, 0.5] + 1
    data = data.astype(np.float32)
    units = gaussian_units(data.std(axis=0))
    estimator = make_estimator(
        lambda key: init_rbm(key, 2, data.mean(axis=0), visible=units), pcd(16, 2)
    )
    optimizer = each_part(optax.identity(), 0.01)
    state = init_train_state(estimator, optimizer, jax.random.key(0), data)

    def likelihood(machine):
        return float(jnp.mean(machine.log_prob(jnp.asarray(data), log_partition(machine))))

    before = likelihood(state.params.theta)
    state = make_epoch(estimator, optimizer, num_data=64, batch_size=16)(state, data, 200)
    assert likelihood(state.params.theta) > before - 0.05
    assert "pseudo_log_likelihood" not in metric_means(state)


@machines.the_others_exhaustively("name", PHASES, usual="tempered_pcd")
def test_a_restored_run_goes_on_bit_for_bit(name, tmp_path):
    """The chains are in the state, and so in the checkpoint."""
    estimator = make_estimator(begin, PHASES[name])
    optimizer = each_part(optax.identity(), 0.1)
    epoch = make_epoch(estimator, optimizer, num_data=len(DATA), batch_size=40)

    def start(seed=0):
        return init_train_state(estimator, optimizer, jax.random.key(seed), DATA)

    whole = epoch(start(), DATA, 10)
    checkpoints.save(tmp_path, 4, epoch(start(), DATA, 4))
    restored = checkpoints.restore(tmp_path, start(seed=1))
    assert_same_bits(epoch(restored, DATA, 6), whole)
    if name in ("pcd", "tempered_pcd"):
        chains = jax.tree.leaves(whole.estimator_state.negative)
        assert sum(leaf.size for leaf in chains) >= 24 * (V + H)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("names", [["cd", "pcd"], ["tempered_pcd", "population"]], ids=", ".join)
def test_eight_devices_give_what_one_gives(names):
    command = [sys.executable, "-m", "tests.boltzmann.mesh_equivalence", *names]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    assert len(done.stdout.splitlines()) == len(names) * len(MESHES)


def test_data_that_do_not_fit_are_refused():
    estimator = make_estimator(begin, pcd(8))
    optimizer = each_part(optax.identity(), 0.1)
    with pytest.raises(InputError, match=r"datapoints of the shape \(1, 7\) for the 6 of"):
        init_train_state(estimator, optimizer, jax.random.key(0), np.zeros((9, 7)))
    state = init_train_state(estimator, optimizer, jax.random.key(0), DATA)
    epoch = make_epoch(estimator, optimizer, num_data=len(DATA), batch_size=40)
    with pytest.raises(InputError, match=r"row 0 holds 0.5 .* whole numbers: binarise them"):
        epoch(state, np.full_like(DATA, 0.5), 1)


def test_a_machine_that_is_not_finite_skips_the_update_and_keeps_its_chains():
    estimator = make_estimator(begin, pcd(8))
    optimizer = each_part(optax.identity(), 0.1)
    state = init_train_state(estimator, optimizer, jax.random.key(0), DATA)
    chains = jax.tree.map(np.asarray, state.estimator_state.negative)
    bad = jax.tree.map(lambda leaf: leaf * jnp.nan, state.params.theta)
    state = state._replace(params=state.params._replace(theta=bad))
    step = make_train_step(estimator, optimizer)
    state, _ = step(state, Batch(jnp.asarray(DATA[:8]), jnp.arange(8)))
    assert state.skipped_updates == 1
    assert_same_bits(state.estimator_state.negative, chains)
    assert machines.flat(state.estimator_state.negative).shape[-1] == V + H
