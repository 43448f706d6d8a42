"""Whether a rebuilt library computes the same numbers: records of every method, and their table.

    python -m benchmarks.equality record --out=before.npz
    python -m benchmarks.equality compare --before=before.npz --out=after.npz

A case is a method with its knobs, on one model, on one device or on a mesh of four virtual ones.
Recorded are its losses, metrics and gradient, on one device also what three updates lead to; and of
every model some figures of the evaluation. `compare` records with the code at hand and exits with 1
where an array deviates by more than the tolerance, relative to its largest entry, or is missing.
"""

import os
from importlib.metadata import version

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=4"
    # Nothing here is computed twice: what counts is how long it compiles (tests/conftest.py).
    " --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    + " --xla_cpu_use_fusion_emitters=false"
    * version("jaxlib").startswith("0.10.")
)

import argparse
import dataclasses
import functools
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from experiments.run.presets import rem_v1_leaky
from remjax.distributions import gaussian_log_likelihood
from remjax.evaluation import (
    Annealing,
    latent_use,
    make_annealed_log_likelihood,
    make_log_likelihood,
    two_stage,
)
from remjax.methods import (
    Baseline,
    Method,
    Particles,
    arithmetic_mean,
    ciwae,
    disarm,
    dreg,
    from_defensive,
    from_r,
    iwae,
    make_estimator,
    miwae,
    nvil,
    ovis,
    piwae,
    reinforce,
    rem_mixture,
    rem_pooled,
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
    vr,
    wake_sleep,
    whole_signal,
    with_dreams,
)
from remjax.models import (
    Likelihood,
    bernoulli_likelihood,
    deep_gaussian_model,
    deep_gaussian_recognition,
    gaussian_model,
    gaussian_recognition,
    sigmoid_belief_network,
    sigmoid_belief_recognition,
)
from remjax.models.networks import MLP, pure
from remjax.models.uncertain import uncertain_gaussian_networks, with_weight_divergence
from remjax.particles.covariances import shrunk, shrunk_with_mean, tempered, unweighted, weighted
from remjax.sharding import make_mesh, mean_over, replicate
from remjax.training import adam, init_train_state, make_train_step
from remjax.types import Batch, Estimator, Model, Params, Recognition

_RNG = np.random.default_rng(0)
MEAN = _RNG.uniform(0.2, 0.6, size=12).astype(np.float32)
SCALE = _RNG.uniform(0.2, 0.5, size=12).astype(np.float32)
BITS = (_RNG.uniform(size=(6, 12)) < MEAN).astype(np.float32)
REALS = (MEAN + SCALE * _RNG.normal(size=(6, 12))).astype(np.float32)
# Datapoints of a batch, the first of those that are evaluated, and their first place.
BATCH_SIZE, FIRST_PLACE = 4, 5
KEY_INIT, KEY_ESTIMATE = jax.random.key(1), jax.random.key(2)
K, KEEP, NUM_UPDATES = 6, 3, 3

# ---------- What knows the library: a rebuilt one needs its imports and this part anew. ----------

GAUSSIAN, REAL_DATA, DEEP = "gaussian", "gaussian of reals", "deep gaussian"
OF_BITS, OF_LAYERS_OF_BITS = "sigmoid belief", "deep sigmoid belief"
UNCERTAIN = "uncertain gaussian"


def absolute_gaussian_likelihood() -> Likelihood:
    """Gaussians whose mean and scale are those of x itself, as before: now they are relative."""

    def log_scale(own: PyTree) -> jax.Array:
        return jnp.maximum(own["log_scale"], np.log(1e-3).astype(np.float32))

    return Likelihood(
        init={"log_scale": jnp.log(SCALE)},
        output_bias=jnp.asarray(MEAN),
        log_prob=lambda own, mean, x: gaussian_log_likelihood(mean, log_scale(own), x),
        mean=lambda _, mean: mean,
        sample=lambda own, mean, key: (
            mean + jnp.exp(log_scale(own)) * jax.random.normal(key, mean.shape)
        ),
    )


def networks() -> dict[str, tuple[Model, Recognition]]:
    """The model and the recognition network of every kind."""
    one = {"latent_size": 3, "hidden_sizes": (5,)}
    two = {"latent_sizes": (3, 2), "hidden_sizes": ((5,), (5,))}
    likelihood = bernoulli_likelihood(MEAN)
    return {
        GAUSSIAN: (gaussian_model(likelihood, **one), gaussian_recognition(MEAN, **one)),
        REAL_DATA: (
            gaussian_model(absolute_gaussian_likelihood(), **one),
            gaussian_recognition(MEAN, **one),
        ),
        DEEP: (deep_gaussian_model(likelihood, **two), deep_gaussian_recognition(MEAN, **two)),
        OF_BITS: (
            sigmoid_belief_network(likelihood, latent_sizes=(3,)),
            sigmoid_belief_recognition(MEAN, latent_sizes=(3,)),
        ),
        OF_LAYERS_OF_BITS: (
            sigmoid_belief_network(likelihood, **two),
            sigmoid_belief_recognition(MEAN, **two),
        ),
        UNCERTAIN: uncertain_gaussian_networks(likelihood, MEAN, **one),
    }


def flax_baseline(data_size: int, num_signals: int) -> Baseline:
    """The baseline as it was made before: the same network, other first values."""
    init, bind = pure(lambda rngs: MLP(data_size, (100,), num_signals, rngs=rngs))
    return Baseline(init, lambda params, x: bind(params)(x - 0.0))


IN_CHUNKS = Particles(7, chunk_size=4)  # of four; the last is padded
IN_GROUPS = Particles(12)  # three groups of four, of which three may be kept
Table = dict[str, tuple[Method, Particles]]
SIX = Particles(K)

FOR_ALL: Table = {
    "wake_sleep": (wake_sleep, SIX),
    "rws": (rws(), SIX),
    "rws dream_share=0.5": (rws(dream_share=0.5), SIX),
    "rws from_defensive(0.2)": (rws(from_defensive(0.2)), SIX),
    "rws_defensive": (rws_defensive(), SIX),
    "reinforce": (reinforce, SIX),
    "rloo": (rloo, SIX),
    "vimco": (vimco(), SIX),
    "vimco arithmetic_mean": (vimco(arithmetic_mean), SIX),
    "vimco K=7 chunk_size=4": (vimco(), IN_CHUNKS),
    "vimco with_dreams": (with_dreams(vimco(), 0.5, 2), SIX),
    "ovis": (ovis(), SIX),
    "ovis gamma=0": (ovis(0.0), SIX),
    "tvo": (tvo(), SIX),
    "tvo num_partitions=3": (tvo(num_partitions=3), SIX),
    "nvil": (nvil(flax_baseline), SIX),
    "nvil baseline=None": (nvil(None), SIX),
    "nvil lagged": (nvil(flax_baseline, lagged=True), SIX),
    "nvil whole_signal": (nvil(flax_baseline, signals=whole_signal), SIX),
}
FOR_REALS: Table = {
    "vae": (vae(), SIX),
    "iwae": (iwae, SIX),
    "iwae K=7 chunk_size=4": (iwae, IN_CHUNKS),
    "iwae with_dreams": (with_dreams(iwae, 0.5, 2), SIX),
    "dreg": (dreg, SIX),
    "stl": (stl, SIX),
    "vr alpha=0": (vr(0.0), SIX),
    "vr alpha=0.5": (vr(0.5), SIX),
    "vr alpha=2": (vr(2.0), SIX),
    "miwae K=12 num_groups=3": (miwae(3), IN_GROUPS),
    "piwae K=12 num_groups=3": (piwae(3), IN_GROUPS),
    "ciwae": (ciwae(), SIX),
    "rws_dreg": (rws_dreg, SIX),
    "rem_v1": (rem_v1(), SIX),
    "rem_v1 weighted": (rem_v1(weighted()), SIX),
    "rem_v1 unweighted": (rem_v1(unweighted()), SIX),
    "rem_v1 tempered": (rem_v1(tempered()), SIX),
    "rem_v1 shrunk": (rem_v1(shrunk()), SIX),
    "rem_v1 K=7 chunk_size=4": (rem_v1(), IN_CHUNKS),
    "rem_v2": (rem_v2(), SIX),
    "rem_v2 from_r": (rem_v2(hyperproposal=from_r), SIX),
    "rem_mixture": (rem_mixture(), SIX),
    "rem_mixture shrunk_with_mean": (rem_mixture(shrunk_with_mean()), SIX),
    "rem_pooled": (rem_pooled(), SIX),
    "rem_pooled K=7 chunk_size=4": (rem_pooled(), IN_CHUNKS),
    "rem_v1_leaky": (rem_v1_leaky(), SIX),
}
FOR_ONE_LAYER: Table = {"vae analytic_kl": (vae(analytic_kl=True), SIX)}
# Bits had forms of REM of their own, which matched the weighted means, or shrunk ones.
FOR_BITS: Table = {
    "disarm": (disarm, SIX),
    "rem_v1_bernoulli": (rem_v1(weighted()), SIX),
    "rem_v1_bernoulli shrunk": (rem_v1(shrunk_with_mean()), SIX),
    "rem_v2_bernoulli": (rem_v2(weighted()), SIX),
    "rem_v2_bernoulli shrunk": (rem_v2(shrunk_with_mean()), SIX),
    "rem_v2_bernoulli from_r": (rem_v2(weighted(), from_r), SIX),
}
FOR_WEIGHTS: Table = {
    "vae": (vae(), SIX),
    "vae with_weight_divergence": (vae(), SIX),
    "iwae with_weight_divergence": (iwae, SIX),
}
SERVED: dict[str, Table] = {
    GAUSSIAN: FOR_ALL | FOR_REALS | FOR_ONE_LAYER,
    REAL_DATA: FOR_ALL | FOR_REALS | FOR_ONE_LAYER,
    DEEP: FOR_ALL | FOR_REALS,
    OF_BITS: FOR_ALL | FOR_BITS,
    OF_LAYERS_OF_BITS: FOR_ALL | FOR_BITS,
    UNCERTAIN: FOR_WEIGHTS,
}


def estimators(kind: str) -> Iterator[tuple[str, Callable[[], Estimator]]]:
    """(name, what builds it) of every method with its knobs that serves a kind of model."""
    networks_of_kind = networks()[kind]

    def build(name: str, method: Method, particles: Particles) -> Estimator:
        estimator = make_estimator(*networks_of_kind, method, particles)
        if "with_weight_divergence" in name:
            return with_weight_divergence(estimator, num_data=100)
        return estimator

    for name, (method, particles) in SERVED[kind].items():
        yield name, functools.partial(build, name, method, particles)
        if method.keeps:
            kept = dataclasses.replace(particles, keep=KEEP)
            yield f"{name} keep={KEEP}", functools.partial(build, name, method, kept)


def data(kind: str) -> tuple[np.ndarray, Batch]:
    """What a kind of model is evaluated on, and the batch of it that it learns from."""
    x = REALS if kind == REAL_DATA else BITS
    return x, Batch(jnp.asarray(x[:BATCH_SIZE]), FIRST_PLACE + jnp.arange(BATCH_SIZE))


def one_estimate(estimator: Estimator, batch: Batch, *, on_mesh: bool) -> PyTree:
    """Losses, metrics, the gradient of the losses' sum and the estimator's memory."""
    mesh = make_mesh(data=2, particles=2) if on_mesh else None
    params, state = estimator.init(KEY_INIT)
    state = jax.tree.map(lambda leaf: leaf + 1.0, state)  # a memory that has begun

    def on_device(common: tuple, batch: Batch) -> PyTree:
        params, state, key = common

        def loss(params: Params) -> tuple[jax.Array, PyTree]:
            estimate, new = estimator.estimate(params, state, key, batch)
            recorded = estimate._asdict() | {"estimator_state": new}
            return estimate.theta_loss + estimate.eta_loss, recorded

        gradient, recorded = jax.grad(loss, has_aux=True)(params)
        return recorded | {"gradient": gradient}

    arguments = replicate(mesh, ((params, state, KEY_ESTIMATE), batch))
    return jax.jit(mean_over(mesh, on_device))(*arguments)


def updates(estimator: Estimator, batch: Batch) -> PyTree:
    """Parameters and memory after some updates."""
    optimizer = adam(1e-2)
    step = make_train_step(estimator, optimizer)
    state = init_train_state(estimator, optimizer, KEY_INIT, batch.x)
    for _ in range(NUM_UPDATES):
        state, _ = step(state, batch)
    return {"params": state.params, "estimator_state": state.estimator_state}


def evaluation(kind: str) -> PyTree:
    """Figures of a model at its start."""
    (model, recognition), (x, _) = networks()[kind], data(kind)
    key_theta, key_eta = jax.random.split(KEY_INIT)
    params = Params(model.init(key_theta), recognition.init(key_eta))

    def log_likelihood(**options: Any) -> PyTree:
        evaluate = make_log_likelihood(model, recognition, num_particles=50, **options)
        return evaluate(params, KEY_ESTIMATE, x)

    found = {
        "log_likelihood": log_likelihood(),
        "latent_use": latent_use(model, recognition, params, KEY_ESTIMATE, x),
    }
    if kind in (GAUSSIAN, REAL_DATA):
        found["two_stage"] = log_likelihood(proposal=two_stage)
    if kind in (GAUSSIAN, REAL_DATA, DEEP):
        annealing = Annealing(num_steps=10, num_chains=2)
        for start, begin in {"recognition": recognition, "prior": None}.items():
            evaluate = make_annealed_log_likelihood(model, begin, annealing)
            found[f"annealed from {start}"] = evaluate(params, KEY_ESTIMATE, x)
    return found


# --------------------------- What follows knows arrays and their names. --------------------------

Arrays = dict[str, np.ndarray]


def cases(only: str) -> Iterator[tuple[str, Callable[[], PyTree]]]:
    """(name, what computes the recorded arrays) of every case that has `only` in its name.

    A method with its knobs is computed on the mesh for the first kind that it serves.
    """

    def on_one(build: Callable[[], Estimator], batch: Batch) -> PyTree:
        estimator = build()
        estimate = one_estimate(estimator, batch, on_mesh=False)
        return estimate | {"updated": updates(estimator, batch)}

    def on_mesh(build: Callable[[], Estimator], batch: Batch) -> PyTree:
        return one_estimate(build(), batch, on_mesh=True)

    found, seen = {}, set()
    for kind in networks():
        _, batch = data(kind)
        found[f"{kind}: evaluation"] = functools.partial(evaluation, kind)
        for name, build in estimators(kind):
            found[f"{kind}: {name}"] = functools.partial(on_one, build, batch)
            if name not in seen:
                found[f"{kind}: {name}, mesh"] = functools.partial(on_mesh, build, batch)
            seen.add(name)
    return ((case, compute) for case, compute in found.items() if only in case)


def named(case: str, recorded: PyTree) -> Arrays:
    """The arrays by "case/what/leaf path"."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(jax.device_get(recorded))
    return {
        f"{case}/{jax.tree_util.keystr(path, simple=True, separator='/')}": np.asarray(leaf)
        for path, leaf in leaves
    }


def record(out: Path, only: str) -> Arrays:
    """Compute all cases, telling each, and write their arrays."""
    began, arrays = time.perf_counter(), {}
    for number, (case, compute) in enumerate(cases(only), start=1):
        arrays |= named(case, compute())
        print(f"{time.perf_counter() - began:7.1f} s  {number:4d}  {case}", flush=True)
    np.savez(out, **arrays)
    print(f"{out}: {counted(arrays)}")
    return arrays


def counted(arrays: Arrays) -> str:
    """How many cases and arrays there are."""
    return f"{len(cases_of(arrays))} cases, {len(arrays)} arrays"


def cases_of(arrays: Arrays) -> Counter[str]:
    """The number of arrays of each case."""
    return Counter(name.partition("/")[0] for name in arrays)


def deviation(before: np.ndarray, after: np.ndarray) -> float:
    """The largest difference, relative to the largest finite entry; infinite for other forms."""
    if before.shape != after.shape or before.dtype != after.dtype:
        return float("inf")
    before, after = before.astype(np.float64), after.astype(np.float64)
    finite = np.isfinite(before)
    if not np.array_equal(before[~finite], after[~finite], equal_nan=True):
        return float("inf")
    difference = np.abs(after - before)[finite].max(initial=0.0)
    # NaN where the code at hand has one and the record has none.
    if not np.isfinite(difference):
        return float("inf")
    scale = np.abs(before[finite]).max(initial=np.finfo(np.float32).tiny)
    return float(difference / scale)


def compare(before: Arrays, after: Arrays, tolerance: float) -> bool:
    """Print the largest deviation of each case, and whether all is there and within tolerance."""
    worst: dict[str, tuple[float, str]] = {}
    for name in before.keys() & after.keys():
        case, _, what = name.partition("/")
        found = deviation(before[name], after[name]), what
        worst[case] = max(worst.get(case, found), found)
    print("| case | arrays | largest deviation | of |\n|---|---|---|---|")
    counts = cases_of(after)
    for case in filter(worst.__contains__, counts):
        largest, what = worst[case]
        mark = " **above**" if largest > tolerance else ""
        print(f"| {case} | {counts[case]} | {largest:.1e}{mark} | {what} |")
    print(f"\nbefore: {counted(before)}; after: {counted(after)}")
    missing = print_others("missing", before, after)
    print_others("extra", after, before)
    above = [case for case, (largest, _) in worst.items() if largest > tolerance]
    largest = max((largest for largest, _ in worst.values()), default=0.0)
    print(f"largest deviation {largest:.1e}; {len(above)} cases above {tolerance:.0e}")
    return not above and not missing


def print_others(word: str, arrays: Arrays, others: Arrays) -> int:
    """Print the cases that the others lack, whole or in part; the number of their arrays."""
    lacking = [name for name in arrays if name not in others]
    present = cases_of(others)
    whole = [case for case in cases_of(lacking) if case not in present]
    within = [name for name in lacking if name.partition("/")[0] in present]
    print(f"{word}: {len(whole)} cases, and {len(within)} arrays of cases that are in both")
    for name in (*whole, *within):
        print(f"  {word}: {name}")
    return len(lacking)


def main() -> int:
    """Record, or record and compare; the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.equality", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("command", choices=("record", "compare"))
    parser.add_argument("--out", type=Path, required=True, help="npz that is written")
    parser.add_argument("--before", type=Path, help="npz to compare with")
    parser.add_argument("--tolerance", type=float, default=2e-4, help="largest deviation allowed")
    parser.add_argument("--only", default="", help="a part of the names of the cases wanted")
    options = parser.parse_args()
    if (options.command == "compare") != (options.before is not None):
        parser.error("--before goes with compare, and compare needs it")
    if options.command == "record":
        record(options.out, options.only)
        return 0
    with np.load(options.before) as file:
        wanted = (name for name in file.files if options.only in name.partition("/")[0])
        before = {name: file[name] for name in wanted}
    return 0 if compare(before, record(options.out, options.only), options.tolerance) else 1


if __name__ == "__main__":
    sys.exit(main())
