"""What eight virtual devices must give: run by test_sharding.py in a process of its own.

    python -m tests.many_devices [--all]

Every estimator is held against one device once, as CASES say; with --all on every mesh, with and
without `keep`, which takes some minutes.
"""

import os
import re
import sys

os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=8 "
    # Nothing here is computed twice: what counts is how long it compiles.
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh

from experiments.enumeration.belief_network import network
from experiments.enumeration.claims import every_image
from experiments.run.methods import METHODS, accepts
from remjax.evaluation.log_likelihood import make_log_likelihood
from remjax.methods.rem import rem_v1
from remjax.particles.e_step import e_step
from remjax.particles.posterior import Posterior
from remjax.sharding import make_mesh, mean_over, replicate
from remjax.training.optimizers import adam
from remjax.training.steps import init_train_state, make_epoch, make_train_step
from remjax.types import Batch, Estimator, Params
from tests import linear_gaussian

TRUTH = linear_gaussian.example()
MODEL, RECOGNITION = linear_gaussian.model(TRUTH), linear_gaussian.diagonal_recognition(TRUTH)
PARAMS = TRUTH.params(TRUTH.inclusive_eta)
X = jnp.asarray(TRUTH.sample(0, 16), jnp.float32)
BATCH = Batch(X[:8], jnp.arange(8) + 5)
# Nine particles in chunks of two: the last is padded, and on 4 and 8 devices not all have one.
K, CHUNK, KEEP = 9, 2, 3

MESHES = {"data:8": (8, 1), "data:4,particles:2": (4, 2), "particles:8": (1, 8)}
# What is not the default: groups and pairs that divide K, and the networks of bits.
KNOBS = {
    "miwae": {"num_groups": 3},
    "piwae": {"num_groups": 3},
    "rws": {"dream_share": 0.5},
    "disarm": {"num_particles": 10},
    "ovis": {"gamma": 0.5},
}
BITS = network((2, 1))
BITS_BATCH = Batch(every_image(), jnp.arange(8) + 5)
OF_BITS = ("reinforce", "rloo", "disarm", "vimco", "rem_v1_bernoulli", "rem_v2_bernoulli")
# (estimator, mesh, keep): each once, with `keep` where it has that; two with all, elsewhere.
CASES = [(name, "data:4,particles:2", KEEP if accepts(name, "keep") else None) for name in METHODS]
CASES += [("iwae", "data:8", None), ("rem_v1", "particles:8", None)]


def mesh_of(name: str) -> Mesh:
    """The mesh of that name."""
    data, particles = MESHES[name]
    return make_mesh(data=data, particles=particles)


def losses_and_gradient(estimator: Estimator, params: Params, batch: Batch, mesh: Mesh | None):
    """The two losses, the metrics, the gradient of the losses' sum, and what is remembered."""
    own, state = estimator.init(jax.random.key(3))
    state = jax.tree.map(lambda leaf: leaf + 1.0, state)  # a memory that has begun

    def on_device(common, batch):
        params, state, key = common

        def loss(params: Params):
            estimate, new = estimator.estimate(params, state, key, batch)
            return estimate.theta_loss + estimate.eta_loss, (estimate, new)

        return jax.grad(loss, has_aux=True)(params)

    params = params._replace(baseline=own.baseline)
    arguments = replicate(mesh, ((params, state, jax.random.key(2)), batch))
    return jax.device_get(jax.jit(mean_over(mesh, on_device))(*arguments))


def assert_close(values, expected, rtol=5e-5):
    """Equal to float32 accuracy, relative to the largest number of each array."""
    for a, b in zip(jax.tree.leaves(values), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max())


def largest_difference(values, expected) -> float:
    """Of all arrays, each relative to its largest number."""
    pairs = zip(jax.tree.leaves(values), jax.tree.leaves(expected), strict=True)
    return max(float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)) for a, b in pairs)


def check_estimators(everything: bool) -> None:
    """Losses, metrics and gradients are those of one device."""
    cases = CASES
    if everything:
        modes = [
            (name, keep) for name in METHODS for keep in (None, KEEP)[: 1 + accepts(name, "keep")]
        ]
        cases = [(name, mesh, keep) for name, keep in modes for mesh in MESHES]
    on_one = {}
    for name, mesh, keep in cases:
        of_bits = name in OF_BITS
        networks = (BITS.model, BITS.recognition) if of_bits else (MODEL, RECOGNITION)
        run = BITS.params if of_bits else PARAMS, BITS_BATCH if of_bits else BATCH
        knobs = {"num_particles": K, "chunk_size": CHUNK} | KNOBS.get(name, {})
        if keep is not None:
            knobs["keep"] = keep
        estimator = METHODS[name](*networks, **knobs)
        if (name, keep) not in on_one:
            on_one[name, keep] = losses_and_gradient(estimator, *run, None)
        on_mesh = losses_and_gradient(estimator, *run, mesh_of(mesh))
        assert_close(on_mesh, on_one[name, keep])
        largest = largest_difference(on_mesh, on_one[name, keep])
        sys.stdout.write(f"| {name} | {keep or 'all'} | {mesh} | {largest:.1e} |\n")


def check_kept_particles() -> None:
    """The same choice, in the same places, from 21 chunks in 8 strands on 1 to 8 devices."""
    joint = MODEL.joint(TRUTH.theta, X[0])
    r = RECOGNITION.distribution(PARAMS.eta, X[0])

    def run(mesh: Mesh | None) -> Posterior:
        def on_device(key, _):
            posterior = e_step(key, joint, r, 41, chunk_size=2, keep=5, record=True)
            return posterior.moments, posterior.kept, posterior.log_joints

        arguments = replicate(mesh, (jax.random.key(1), jnp.zeros(8)))
        return jax.device_get(jax.jit(mean_over(mesh, on_device))(*arguments))

    moments, kept, log_joints = run(None)
    for particles in (1, 2, 4, 8):
        again = run(make_mesh(particles=particles))
        # `mean_over` makes a mean of the equal integers.
        np.testing.assert_array_equal(again[1].index, kept.index)
        assert_close(again, (moments, kept, log_joints))


def loops_with_collectives(program: str) -> list[str]:
    """The loops of a compiled program in which, however deep, the devices talk."""
    bodies = dict(re.findall(r"^(?:ENTRY )?%?([\w.\-]+) \(.*?\{\n(.*?)^\}", program, re.M | re.S))
    talks = re.compile(r" (all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)")

    def reached(name: str) -> set[str]:
        inside = {n for n in re.findall(r"=%([\w.\-]+)", bodies[name]) if n in bodies}
        return {name}.union(*map(reached, inside))

    loops = set(re.findall(r"body=%([\w.\-]+)", program))
    assert loops
    return [n for n in loops if any(talks.search(bodies[inner]) for inner in reached(n))]


def check_training() -> None:
    """An epoch comes to the same state, and the devices talk outside of the loops over chunks."""
    optimizer = adam(1e-2)
    estimator = rem_v1(MODEL, RECOGNITION, num_particles=20, chunk_size=2, keep=None)
    mesh = mesh_of("data:4,particles:2")

    def start(mesh: Mesh | None):
        return replicate(mesh, init_train_state(estimator, optimizer, jax.random.key(0), 3))

    states = []
    for one in (None, mesh):
        epoch = make_epoch(estimator, optimizer, num_data=16, batch_size=8, mesh=one)
        state = epoch(start(one), replicate(one, X), 3)
        states.append(jax.device_get((state.params, state.metric_sums, state.step)))
    assert_close(states[1], states[0], rtol=1e-4)

    step = make_train_step(estimator, optimizer, mesh=mesh)
    program = step.lower(start(mesh), replicate(mesh, BATCH)).compile().as_text()
    assert loops_with_collectives(program) == []
    # The moments of two E-steps are gathered; the gradient and the metrics are summed in one go.
    assert " all-gather(" in program
    assert program.count(" all-reduce(") == 1

    def talks_in_a_loop(common, batch):
        return lax.fori_loop(0, 5, lambda _, s: lax.psum(jnp.sin(s + batch.sum()), "data"), common)

    wrong = jax.jit(mean_over(mesh, talks_in_a_loop)).lower(jnp.zeros(()), X)
    assert len(loops_with_collectives(wrong.compile().as_text())) == 1


def check_evaluation() -> None:
    """The figures do not depend on the mesh."""
    figures = []
    for mesh in (None, mesh_of("data:4,particles:2")):
        evaluate = make_log_likelihood(MODEL, RECOGNITION, num_particles=30, mesh=mesh)
        figures.append(evaluate(PARAMS, jax.random.key(3), np.tile(X, (11, 1))))
    assert_close(figures[1], figures[0])


if __name__ == "__main__":
    check_kept_particles()
    check_training()
    check_evaluation()
    check_estimators(everything="--all" in sys.argv)
