"""Tiny machines, their distributions by NumPy float64 from the formula, and how far samples are.

The oracles loop over units and edges as the formula of the energy reads, and share no code with the
library.
"""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax.boltzmann import (
    RBM,
    PairwiseMachine,
    Reals,
    Units,
    complete_graph,
    exact_samples,
    grid_graph,
    make_graph,
)

# A statistic beyond this many standard errors is a fault: by chance once in 150,000 looks.
SIGMAS = 4.5
# The chance that samples of the right distribution fail `assert_same_distribution`.
_RARE = 1e-6


def normal(seed, *shape):
    """Fixed numbers."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def rbm(num_visible=5, num_hidden=4, seed=0, scale=1.5):
    """Couplings of order one to two, biases against them."""
    w = scale * normal(seed, num_visible, num_hidden)
    a, b = 0.7 * normal(seed + 1, num_visible), 0.7 * normal(seed + 2, num_hidden)
    return RBM(*map(jnp.asarray, (w, a, b)))


def gaussian_rbm(num_visible=3, num_hidden=4, seed=10):
    """Real visible units of different precisions."""
    one = rbm(num_visible, num_hidden, seed, scale=0.8)
    log_precision = jnp.asarray(0.5 * normal(seed + 3, num_visible))
    return RBM(one.weights, one.visible_bias, one.hidden_bias, Reals(log_precision))


def pairwise(graph, seed=20, scale=1.5):
    """Couplings and biases of a graph."""
    couplings = scale * normal(seed, len(graph.edges))
    return PairwiseMachine(
        jnp.asarray(couplings), jnp.asarray(normal(seed + 1, graph.num_units)), graph
    )


def triangles():
    """Three colours, of two or three units each: neither bipartite nor complete."""
    edges = [(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 2), (4, 5), (5, 6), (6, 4)]
    return make_graph(7, edges)


# Of bits, small enough that every state is enumerated.
OF_BITS = {
    "rbm": rbm(),
    "wide rbm": rbm(3, 5, seed=4),
    "grid": pairwise(grid_graph(3, 3)),
    "triangles": pairwise(triangles()),
    "complete": pairwise(complete_graph(5)),
}


def every(those):
    """A test for each machine: two colours and three, bits and reals; `exhaustive` the others."""
    usual = {"rbm", "triangles", "reals"}
    parameters = [
        pytest.param(machine, id=name, marks=[] if name in usual else pytest.mark.exhaustive)
        for name, machine in those.items()
    ]
    return pytest.mark.parametrize("machine", parameters)


def all_states(count):
    """Every state of so many bits, [2^N, N]; the code of a row is its place."""
    return np.array([bits[::-1] for bits in itertools.product((0.0, 1.0), repeat=count)])


def flat(units):
    """All bits of a machine's units, [..., N]."""
    return np.concatenate([np.asarray(leaf) for leaf in jax.tree.leaves(units)], axis=-1)


def unflat(machine, z):
    """The machine's units of these bits."""
    z = jnp.asarray(z, jnp.float32)
    if not isinstance(machine, RBM):
        return z
    size = machine.sizes[0]
    return Units(z[..., :size], z[..., size:])


def energy(machine, z):
    """E of one state, from the formula."""
    if isinstance(machine, RBM):
        w, a, b = (np.asarray(p, np.float64) for p in (machine.weights, *machine.biases))
        v, h = z[: len(a)], z[len(a) :]
        total = sum(a * v) + sum(b * h)
        total += sum(v[i] * w[i, j] * h[j] for i in range(len(a)) for j in range(len(b)))
        if isinstance(machine.visible, Reals):
            total -= 0.5 * sum(np.exp(np.asarray(machine.visible.log_precision, np.float64)) * v**2)
        return -total
    bias = np.asarray(machine.bias, np.float64)
    couplings = np.asarray(machine.couplings, np.float64)
    pairs = zip(couplings, machine.graph.edges, strict=True)
    return -(sum(bias * z) + sum(c * z[i] * z[j] for c, (i, j) in pairs))


def energies(machine):
    """E of every state, in the order of `all_states`."""
    return np.array([energy(machine, z) for z in all_states(machine.num_units)])


def log_z(machine, temperature=1.0):
    """log sum_z exp(-E(z) / temperature)."""
    terms = -energies(machine) / temperature
    return terms.max() + math.log(np.exp(terms - terms.max()).sum())


def distribution(machine, temperature=1.0):
    """p(z)^(1 / temperature), renormalised, of every state."""
    return np.exp(-energies(machine) / temperature - log_z(machine, temperature))


def tempered(machine, temperature):
    """The machine whose distribution is p(z)^(1 / temperature): its energy divided by it."""
    return jax.tree.map(lambda leaf: leaf / temperature, machine)


@functools.partial(jax.jit, static_argnames="count")
def exact_chains(key, machine, count):
    """`exact_samples`, compiled: one by one its operations cost the tests seconds."""
    return exact_samples(key, machine, count)


def codes(z):
    """The place of each state in `all_states`."""
    z = np.asarray(z).reshape(-1, np.shape(z)[-1])
    return (z @ 2 ** np.arange(z.shape[-1])).astype(int)


def assert_same_distribution(found, p, weights=None, count=None):
    """Total variation of samples from p within its Monte Carlo error.

    Its mean is at most 1/2 sum_z sqrt(p (1 - p) / n) by Jensen's inequality, the floor, and it goes
    beyond the mean by more than sqrt(log(1 / rare) / 2 n) less often than `rare` (McDiarmid 1989).

    Args:
        found: codes of the samples.
        p: probabilities of all codes.
        weights: of the samples, any scale.
        count: n, that of independent samples; as many as were found by default.
    """
    frequencies = np.bincount(found, weights, minlength=len(p)).astype(float)
    frequencies /= frequencies.sum()
    n = len(found) if count is None else count
    floor = 0.5 * np.sqrt(p * (1 - p) / n).sum()
    distance = 0.5 * np.abs(frequencies - p).sum()
    bound = floor + math.sqrt(-math.log(_RARE) / (2 * n))
    assert distance < bound, f"total variation {distance:.4f}, at most {bound:.4f} by chance"


def assert_mean(samples, expected, sigmas=SIGMAS):
    """The mean of independent rows is the expected one, within standard errors."""
    samples = np.asarray(samples, np.float64)
    error = samples.std(axis=0, ddof=1) / math.sqrt(len(samples))
    off = np.abs(samples.mean(axis=0) - expected) / np.maximum(error, 1e-7)
    assert off.max() < sigmas, f"{off.max():.1f} standard errors off"
