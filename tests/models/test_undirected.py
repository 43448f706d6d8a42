"""The recognition network of an undirected posterior: heads, memory, batch statistics."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import remjax
from remjax import Batch, InputError, Particles, boltzmann, make_estimator, statistics
from remjax.boltzmann import RBM, Units, to_spins
from remjax.distributions import PiecewiseLinear
from remjax.methods import dvae, rws, stl
from remjax.models import (
    RawHeads,
    batch_normalization,
    bernoulli_likelihood,
    boltzmann_model,
    grouped_recognition,
    undirected_recognition,
    with_boltzmann_prior,
)
from remjax.training import checkpoints
from remjax.training.memory import init_rows
from remjax.types import Memory, Params
from tests.training.states import assert_same_bits

V, H, X = 6, 5, 12
MEAN = np.full(X, 0.3)
DATA = jnp.asarray(np.random.default_rng(0).uniform(size=(16, X)) < 0.3, jnp.float32)
SIZES = {"visible_size": V, "hidden_size": H, "hidden_sizes": (7,)}


def make(**options):
    return undirected_recognition(MEAN, **SIZES, **options)


def test_ising_heads_are_the_machine_of_spins_that_they_parametrise():
    """E(v, h) of bits is that of spins, J and the head's biases, up to a constant."""
    recognition = make(normalization=batch_normalization())
    eta = recognition.init(jax.random.key(0))
    machine: RBM = recognition.distribution(eta, DATA[0]).machine
    features = jnp.tanh(
        # A running mean of 0 and a variance of 1 leave all but epsilon.
        (DATA[0] - 0.3) @ eta["layers"]["hidden"][0]["kernel"] / np.sqrt(1.01)
    )
    heads = eta["heads"]
    coupling = 1.5 / np.sqrt(V) * (features @ heads["weights"]["kernel"] / np.sqrt(1.01))
    coupling = coupling.reshape(V, H)
    a, b = (features @ heads[name]["kernel"] for name in ("visible_bias", "hidden_bias"))
    rng = np.random.default_rng(1)
    v, h = rng.integers(0, 2, (50, V)), rng.integers(0, 2, (50, H))
    bits = machine.energy(Units(jnp.asarray(v, jnp.float32), jnp.asarray(h, jnp.float32)))
    s, t = 2 * v - 1, 2 * h - 1
    spins = -(s @ a + t @ b + np.sum((s @ coupling) * t, axis=1))
    assert np.ptp(np.asarray(bits) - spins) < 1e-4
    np.testing.assert_allclose(to_spins(machine)[0].couplings, coupling, rtol=1e-4, atol=1e-6)


def run(relaxation, method, **options):
    model = boltzmann_model(
        bernoulli_likelihood(MEAN), **SIZES, normalization=batch_normalization()
    )
    recognition = make(
        relaxation=relaxation, num_chains=2, normalization=batch_normalization(), **options
    )
    inner = make_estimator(model, recognition, method, Particles(2))
    estimator = with_boltzmann_prior(inner, boltzmann.pcd(16, 2))
    optimizer = optax.adam(3e-3)
    epoch = remjax.make_epoch(estimator, optimizer, num_data=len(DATA), batch_size=8)

    def start(seed=0):
        return remjax.init_train_state(estimator, optimizer, jax.random.key(seed), DATA)

    return epoch, start


def test_a_run_goes_on_bit_by_bit_with_chains_and_batch_statistics(tmp_path):
    """Chains of six bits in a byte; batch statistics of the couplings move."""
    epoch, start = run(PiecewiseLinear(), stl)
    before = start()
    assert before.memory.shape == (16, 2)
    assert before.memory.dtype == jnp.uint8
    statistics = np.array(before.params.eta["heads"]["normalize"]["mean"])
    whole = epoch(before, DATA, 3)
    assert whole.skipped_updates == 0
    assert np.any(whole.params.eta["heads"]["normalize"]["mean"] != statistics)
    whole = epoch(whole, DATA, 3)
    checkpoints.save(tmp_path, 3, epoch(start(), DATA, 3))
    again = epoch(checkpoints.restore(tmp_path, start(seed=1)), DATA, 3)
    assert_same_bits(again, whole)


def test_a_memory_sees_what_the_losses_see():
    """The very r of the batch, normalised by the batch: here it is remembered."""
    sizes = {"latent_size": V + H, "hidden_sizes": (7,)}
    network = grouped_recognition(MEAN, **sizes, normalization=batch_normalization())
    memory = Memory(
        lambda key: jnp.zeros(V + H), lambda params, key, x, r, memory: r.first.logits + memory
    )
    model = boltzmann_model(bernoulli_likelihood(MEAN), **SIZES)
    inner = make_estimator(model, network._replace(memory=memory), rws(), Particles(2))
    estimator = with_boltzmann_prior(inner, boltzmann.pcd(16, 2))
    optimizer = optax.sgd(1e-3)
    state = remjax.init_train_state(estimator, optimizer, jax.random.key(0), DATA)
    eta = jax.tree.map(jnp.copy, state.params.eta)
    state, _ = remjax.make_train_step(estimator, optimizer)(state, Batch(DATA, jnp.arange(16)))

    def logits(x):
        return network.distribution(eta, x).first.logits

    over_batch = jax.vmap(logits, axis_name=statistics.DATAPOINTS)
    np.testing.assert_allclose(state.memory, over_batch(DATA), rtol=1e-4, atol=1e-5)
    assert np.abs(state.memory - jax.vmap(logits)(DATA)).max() > 0.1


def test_the_network_runs_once_in_an_update():
    """Of the compiled products of features and heads, one is forward."""
    model = boltzmann_model(bernoulli_likelihood(MEAN), **SIZES)
    recognition = make(relaxation=PiecewiseLinear(), normalization=batch_normalization())
    inner = make_estimator(model, recognition, dvae, Particles(1))
    estimator = with_boltzmann_prior(inner, boltzmann.pcd(16, 2))
    optimizer = optax.sgd(1e-3)
    state = remjax.init_train_state(estimator, optimizer, jax.random.key(0), DATA)
    step = remjax.make_train_step(estimator, optimizer)
    program = step.lower(state, Batch(DATA, jnp.arange(16))).compile().as_text()
    assert len(re.findall(rf"= f32\[16,{V * H}\]\S* dot\(", program)) == 1


@pytest.mark.parametrize("heads", [RawHeads])
def test_raw_heads_are_linear(heads):
    recognition = make(heads=heads)
    eta = recognition.init(jax.random.key(0))
    shapes = jax.tree.map(jnp.shape, eta["heads"])
    assert shapes["weights"]["kernel"] == (7, V * H)
    assert "normalize" not in eta["heads"]
    z = recognition.distribution(eta, DATA[0]).sample(jax.random.key(1))
    assert z.shape == (V + H,)
    assert set(np.unique(z)) <= {0.0, 1.0}


def test_memory_of_the_paper_is_small():
    """50,000 images, 25 chains of the first block's 100 bits, as training keeps them: packed."""
    recognition = undirected_recognition(
        np.zeros(784), visible_size=100, hidden_size=100, num_chains=25
    )
    rows = jax.eval_shape(lambda key: init_rows(recognition.memory, key, 50_000), jax.random.key(0))
    sizes = [leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(rows)]
    assert 50_000 * 2_500 / 8 <= sum(sizes) < 16e6


@pytest.mark.parametrize(
    "options",
    [{"num_chains": 0}, {"num_sweeps": 0}, {"num_relaxed_sweeps": 0}, {"num_fresh_sweeps": 0}],
)
def test_counts_below_one_are_refused(options):
    with pytest.raises(InputError, match=f"{next(iter(options))} is 0: give 1 or more"):
        make(**options)


def test_params_of_another_size_are_refused():
    recognition = make()
    params = Params((), recognition.init(jax.random.key(0)))
    with pytest.raises(InputError, match="takes vectors of 12"):
        recognition.distribution(params.eta, jnp.zeros(3))
