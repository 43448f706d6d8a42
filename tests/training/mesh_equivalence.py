"""What eight virtual devices must give: run by test_sharding.py in a process of its own.

    python -m tests.training.mesh_equivalence checks CHECK ...
    python -m tests.training.mesh_equivalence representatives METHOD ...
    python -m tests.training.mesh_equivalence meshes METHOD ...
    python -m tests.training.mesh_equivalence everything METHOD ...

The second holds one method of each family against one device, on a mesh with both axes; the third
on the meshes with one; the fourth every method on that with both. A line is written for each
comparison.
"""

import re
import sys

import jax

if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", 8)

import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import Mesh

from remjax import methods
from remjax.distributions import Flips, GaussianNoise
from remjax.evaluation import make_log_likelihood
from remjax.methods import Particles, make_estimator
from remjax.models import (
    bernoulli_likelihood,
    denoising_model,
    sigmoid_belief_network,
    sigmoid_belief_recognition,
)
from remjax.particles import e_step
from remjax.particles.posterior import Posterior
from remjax.sharding import make_mesh, mean_over, replicate
from remjax.training import adam, each_part, init_train_state, make_epoch, make_train_step
from remjax.types import Batch, Estimator, Model, Params, Recognition
from tests import linear_gaussian
from tests.every_method import every_method
from tests.training import normalised, running_moments

TRUTH = linear_gaussian.example()
MODEL, RECOGNITION = linear_gaussian.model(TRUTH), linear_gaussian.diagonal_recognition(TRUTH)
PARAMS = TRUTH.params(TRUTH.inclusive_eta)
X = jnp.asarray(TRUTH.sample(0, 16), jnp.float32)
PLACES = jnp.arange(8) + 5
# Nine particles in chunks of two: the last is padded, and on 4 and 8 devices not all have one.
ALL, KEPT = Particles(9, chunk_size=2), Particles(9, keep=3, chunk_size=2)
PAIRS = Particles(10, chunk_size=2)

MESHES = {"data:8": (8, 1), "data:4,particles:2": (4, 2), "particles:8": (1, 8)}

# Those that are tried on two layers of bits.
OF_BITS = {
    "reinforce of bits": methods.reinforce,
    "rloo of bits": methods.rloo,
    "disarm of bits": methods.disarm,
    "vimco of bits": methods.vimco(),
    "nvil of bits": methods.nvil(),
    "rem_v1 of bits": methods.rem_v1(),
    "rem_v2 of bits": methods.rem_v2(),
}
# All others, of real latents; the groups are a divisor of the particles.
METHODS = {
    name: method for name, method in every_method().items() if f"{name} of bits" not in OF_BITS
} | {
    "vae analytic": methods.vae(analytic_kl=True),
    "miwae": methods.miwae(num_groups=3),
    "piwae": methods.piwae(num_groups=3),
    "rws dreams": methods.rws(dream_share=0.5),
    "rem_v1": methods.rem_v1(),
    "rem_v2": methods.rem_v2(),
    "nvil": methods.nvil(),
    "ovis": methods.ovis(gamma=0.5),
    "iwae warming up": methods.warm_up(methods.iwae, 4),
}
EVERY = METHODS | OF_BITS
# One of each family, on a mesh with both axes, and whether it keeps. NVIL's is `check_state`.
REPRESENTATIVES = {
    "iwae warming up": True,
    "rws dreams": False,
    "rem_pooled": True,
    "disarm of bits": False,
}


def networks_of_bits() -> tuple[Model, Recognition, Params]:
    """Two bits below one, three pixels, and parameters away from zero."""
    mean = np.full(3, 0.4)
    model = sigmoid_belief_network(bernoulli_likelihood(mean), latent_sizes=(2, 1))
    recognition = sigmoid_belief_recognition(mean, latent_sizes=(2, 1))
    keys = jax.random.split(jax.random.key(4), 2)
    leaves, structure = jax.tree.flatten((model.init(keys[0]), recognition.init(keys[1])))
    noise = np.random.default_rng(0)
    moved = [leaf + 0.5 * noise.normal(size=leaf.shape).astype(np.float32) for leaf in leaves]
    return model, recognition, Params(*jax.tree.unflatten(structure, moved))


EVERY_IMAGE = jnp.asarray([[n >> 2 & 1, n >> 1 & 1, n & 1] for n in range(8)], jnp.float32)


def mesh_of(name: str) -> Mesh:
    """The mesh of that name."""
    data, particles = MESHES[name]
    return make_mesh(data=data, particles=particles)


def losses_and_gradient(estimator: Estimator, params: Params, batch: Batch, mesh: Mesh | None):
    """The two losses, the metrics, the gradient of the losses' sum, and what is remembered."""
    own, state = estimator.init(jax.random.key(3))
    state = jax.tree.map(lambda leaf: leaf + jnp.ones_like(leaf), state)  # a memory that has begun

    def on_device(common, batch):
        params, state, key = common

        def loss(params: Params):
            estimate, new = estimator.estimate(params, state, key, batch)
            return estimate.theta_loss + estimate.eta_loss, (estimate, new)

        gradient, (estimate, new) = jax.grad(loss, has_aux=True)(params)
        return (gradient, (estimate._replace(memory=()), new)), estimate.memory

    params = params._replace(baseline=own.baseline)
    arguments = replicate(mesh, ((params, state, jax.random.key(2)), batch))
    return jax.device_get(jax.jit(mean_over(mesh, on_device))(*arguments)[0])


def largest_difference(values, expected) -> float:
    """Of all arrays, each relative to its largest number."""
    pairs = zip(jax.tree.leaves(values), jax.tree.leaves(expected), strict=True)
    return max(float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)) for a, b in pairs)


def assert_close(what: str, values, expected, rtol=5e-5):
    """Equal to float32 accuracy, relative to the largest number of each array."""
    for a, b in zip(jax.tree.leaves(values), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max(), err_msg=what)
    sys.stdout.write(f"| {what} | {largest_difference(values, expected):.1e} |\n")


def check_method(name: str, keep: bool, meshes: list[str]) -> None:
    """Losses, metrics, gradients and what is remembered are those of one device."""
    if name in OF_BITS:
        model, recognition, params = networks_of_bits()
        batch = Batch(EVERY_IMAGE, PLACES)
    else:
        model, recognition, params = MODEL, RECOGNITION, PARAMS
        batch = Batch(X[:8], PLACES)
    particles = KEPT if keep else PAIRS if name == "disarm of bits" else ALL
    estimator = make_estimator(model, recognition, EVERY[name], particles)
    on_one = losses_and_gradient(estimator, params, batch, None)
    for mesh in meshes:
        on_mesh = losses_and_gradient(estimator, params, batch, mesh_of(mesh))
        assert_close(f"{name} | {particles.keep or 'all'} | {mesh}", on_mesh, on_one)


def check_representatives(names: list[str]) -> None:
    """Each method once."""
    for name in names:
        check_method(name, REPRESENTATIVES[name], ["data:4,particles:2"])


def check_meshes(names: list[str]) -> None:
    """A method of each family on the meshes that divide one axis alone."""
    for name in names:
        check_method(name, REPRESENTATIVES[name], ["data:8", "particles:8"])


def check_everything(names: list[str]) -> None:
    """Each method on a mesh with both axes, with some particles kept where it can."""
    for name in names:
        check_method(name, EVERY[name].keeps, ["data:4,particles:2"])


def check_kept_particles() -> None:
    """The same choice, in the same places, from 21 chunks in 8 strands on 1 to 8 devices."""
    joint = MODEL.joint(TRUTH.theta, X[0])
    r = RECOGNITION.distribution(PARAMS.eta, X[0])

    def run(mesh: Mesh | None) -> Posterior:
        def on_device(key, _):
            posterior = e_step(key, joint, r, 41, chunk_size=2, keep=5, record=True)
            return (posterior.moments, posterior.kept, posterior.log_joints), ()

        arguments = replicate(mesh, (jax.random.key(1), jnp.zeros(8)))
        return jax.device_get(jax.jit(mean_over(mesh, on_device))(*arguments)[0])

    moments, kept, log_joints = run(None)
    for particles in (1, 2, 4, 8):
        again = run(make_mesh(particles=particles))
        # `mean_over` makes a mean of the equal integers.
        np.testing.assert_array_equal(again[1].index, kept.index)
        assert_close(f"kept particles | particles:{particles}", again, (moments, kept, log_joints))


# Linear in the gradient: Adam would make a step of the rounding of one that is zero.
PLAIN = each_part(optax.identity(), 1e-2)


def trained(estimator: Estimator, data, mesh: Mesh | None, optimizer=PLAIN):
    """Parameters, metrics and what is remembered after three steps on eight datapoints each."""
    state = replicate(mesh, init_train_state(estimator, optimizer, jax.random.key(0), data))
    epoch = make_epoch(estimator, optimizer, num_data=len(data), batch_size=8, mesh=mesh)
    state = epoch(state, replicate(mesh, data), 3)
    assert state.skipped_updates == 0
    return jax.device_get((state.params, state.estimator_state, state.metric_sums, state.memory))


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
    estimator = make_estimator(MODEL, RECOGNITION, methods.rem_v1(), Particles(20, chunk_size=2))
    mesh = mesh_of("data:4,particles:2")
    optimizer = adam(1e-2)
    on_one, on_mesh = (trained(estimator, X, one, optimizer) for one in (None, mesh))
    assert_close("an epoch of rem_v1", on_mesh, on_one, rtol=1e-4)

    step = make_train_step(estimator, optimizer, mesh=mesh)
    state = replicate(mesh, init_train_state(estimator, optimizer, jax.random.key(0), X))
    program = step.lower(state, replicate(mesh, Batch(X[:8], PLACES))).compile().as_text()
    assert loops_with_collectives(program) == []
    # The moments of two E-steps are gathered; the gradient and the metrics are summed in one go.
    assert " all-gather(" in program
    assert program.count(" all-reduce(") == 1

    def talks_in_a_loop(common, batch):
        one = lambda _, s: lax.psum(jnp.sin(s + batch.sum()), "data")  # noqa: E731
        return lax.fori_loop(0, 5, one, common), ()

    wrong = jax.jit(mean_over(mesh, talks_in_a_loop)).lower(jnp.zeros(()), X)
    assert len(loops_with_collectives(wrong.compile().as_text())) == 1


def check_state() -> None:
    """What nvil remembers of earlier batches is that of the whole batch."""
    model, recognition, _ = networks_of_bits()
    estimator = make_estimator(model, recognition, methods.nvil(), Particles(3))
    on_one, on_mesh = (
        trained(estimator, EVERY_IMAGE, mesh) for mesh in (None, mesh_of("data:4,particles:2"))
    )
    assert_close("an epoch of nvil", on_mesh, on_one, rtol=1e-4)


def check_memory() -> None:
    """Running moments are those of one device, and packed bits to the last one."""
    model, recognition = running_moments.networks(TRUTH)
    estimator = make_estimator(model, recognition, methods.rws(), Particles(8))
    on_one, on_mesh = (
        trained(estimator, X, mesh) for mesh in (None, mesh_of("data:4,particles:2"))
    )
    assert_close("running moments", on_mesh, on_one, rtol=2e-4)

    bits = running_moments.counting_bits((3, 5))
    on_one, on_mesh = (trained(bits, X, mesh) for mesh in (None, mesh_of("data:8")))
    np.testing.assert_array_equal(on_mesh[-1], on_one[-1])
    assert_close("packed bits", on_mesh[:-1], on_one[:-1])


def check_batch_statistics() -> None:
    """They are those of the whole batch, even where a device has one datapoint of it."""
    model, recognition = normalised.networks()
    estimator = make_estimator(model, recognition, methods.iwae, Particles(4))
    data = jnp.asarray(normalised.BITS)
    on_one = trained(estimator, data, None)
    for name in ("data:4,particles:2", "data:8"):
        on_mesh = trained(estimator, data, mesh_of(name))
        assert_close(f"batch statistics | {name}", on_mesh, on_one, rtol=1e-3)


def check_denoising() -> None:
    """Walkback, and a learned corruption that compares each datapoint with the whole batch."""
    mean = np.full(3, 0.4)
    model = denoising_model(bernoulli_likelihood(mean), mean, hidden_sizes=(4,))
    estimators = {
        "walkback": methods.make_denoising_estimator(model, Flips(0.2), num_steps=3),
        "learned flips": methods.make_learned_denoising_estimator(
            model, Flips(0.2), num_particles=2
        ),
        "learned noise": methods.make_learned_denoising_estimator(model, GaussianNoise(0.5)),
    }
    mesh = mesh_of("data:4,particles:2")
    for name, estimator in estimators.items():
        on_one, on_mesh = (trained(estimator, EVERY_IMAGE, one) for one in (None, mesh))
        assert_close(f"denoising | {name}", on_mesh, on_one, rtol=1e-4)


def check_evaluation() -> None:
    """The figures do not depend on the mesh."""
    figures = []
    for mesh in (None, mesh_of("data:4,particles:2")):
        evaluate = make_log_likelihood(MODEL, RECOGNITION, num_particles=30, mesh=mesh)
        figures.append(evaluate(PARAMS, jax.random.key(3), np.tile(X, (11, 1))))
    assert_close("evaluation", figures[1], figures[0])


# And how many lines each writes.
CHECKS = {
    "kept_particles": (check_kept_particles, 4),
    "training": (check_training, 1),
    "state": (check_state, 1),
    "memory": (check_memory, 2),
    "batch_statistics": (check_batch_statistics, 2),
    "denoising": (check_denoising, 3),
    "evaluation": (check_evaluation, 1),
}

if __name__ == "__main__":
    part, *chosen = sys.argv[1:]
    if part == "checks":
        for check in chosen:
            CHECKS[check][0]()
    else:
        {
            "representatives": check_representatives,
            "meshes": check_meshes,
            "everything": check_everything,
        }[part](chosen)
