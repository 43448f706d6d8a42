"""Replicas in one program against the same runs one after another.

    python -m benchmarks.replicas --methods=rem_v1 --num_replicas=5

Times an epoch's worth of updates (784-200-200-20 networks, float32) of R replicas in one program
and of one run, in turns, and their compilations. The ratio is that of R runs, each compiled by
itself, to the replicas; that of the updates alone stands beside it.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from benchmarks.machine import machine
from benchmarks.measure import write_rows
from experiments.output.tables import markdown
from experiments.run import command_line
from experiments.run.methods import build_estimator
from remjax.models.gaussian import gaussian_model, gaussian_recognition
from remjax.models.likelihoods import bernoulli_likelihood
from remjax.training.epochs import make_epoch
from remjax.training.optimizers import adam
from remjax.training.replicas import replicas_in_flight, stack_replicas, train_replicas
from remjax.training.steps import init_train_state

FLAGS = flags.FLAGS
DATA_SIZE, NUM_DATA = 784, 1000


def define_flags() -> None:
    """What is replicated, and how often it is timed."""
    flags.DEFINE_list("methods", ["rem_v1"], "methods to time")
    flags.DEFINE_integer("num_replicas", 5, "R", lower_bound=2)
    flags.DEFINE_integer("batch_size", 20, "B, images", lower_bound=1)
    flags.DEFINE_integer("num_particles", 50, "K, particles per image", lower_bound=1)
    flags.DEFINE_integer("hidden_size", 200, "units in each tanh layer", lower_bound=1)
    flags.DEFINE_integer("steps", 20, "updates in each timed call", lower_bound=1)
    flags.DEFINE_integer("repeats", 5, "timed calls of each", lower_bound=1)
    flags.DEFINE_integer(
        "at_a_time", None, "replicas that step together; default as experiments.train has it"
    )
    flags.DEFINE_string("json", None, "file for the rows")


def measure(method: str) -> dict[str, float | str]:
    """One row of the table."""
    rng = np.random.default_rng(0)
    mean = rng.uniform(0.0, 0.3, DATA_SIZE)
    sizes = {"latent_size": 20, "hidden_sizes": (FLAGS.hidden_size, FLAGS.hidden_size)}
    model = gaussian_model(bernoulli_likelihood(mean), **sizes)
    recognition = gaussian_recognition(mean, **sizes)
    estimator = build_estimator(method, model, recognition, {"num_particles": FLAGS.num_particles})
    optimizer = adam(1e-3)
    data = jnp.asarray(rng.uniform(size=(NUM_DATA, DATA_SIZE)) < mean, jnp.float32)
    run = make_epoch(estimator, optimizer, num_data=NUM_DATA, batch_size=FLAGS.batch_size)
    states = [
        init_train_state(estimator, optimizer, jax.random.key(seed), data)
        for seed in range(FLAGS.num_replicas)
    ]
    chosen = replicas_in_flight(
        passes=FLAGS.batch_size * FLAGS.num_particles, keep=None, data_size=DATA_SIZE
    )
    at_a_time = min(FLAGS.at_a_time or chosen, FLAGS.num_replicas)
    replicated = train_replicas(run, at_a_time=at_a_time)
    programs = {"one": (run, states[0]), "replicas": (replicated, stack_replicas(states))}
    compile_seconds, seconds, compiled, state = {}, {"one": [], "replicas": []}, {}, {}
    for name, (program, start) in programs.items():
        began = time.perf_counter()
        compiled[name] = program.compile(start, data)
        compile_seconds[name] = time.perf_counter() - began
        state[name] = compiled[name](start, data, 1)
    for _ in range(FLAGS.repeats):
        for name in programs:
            began = time.perf_counter()
            state[name] = jax.block_until_ready(compiled[name](state[name], data, FLAGS.steps))
            seconds[name].append(time.perf_counter() - began)
    ratio = FLAGS.num_replicas * np.divide(seconds["one"], seconds["replicas"])
    one, replicas = (float(np.median(seconds[name])) for name in programs)
    runs = FLAGS.num_replicas * (compile_seconds["one"] + one)
    return {
        "method": method,
        "K": FLAGS.num_particles,
        "at a time": at_a_time,
        "ms per update, one": one / FLAGS.steps * 1e3,
        "ms per update, replicas": replicas / FLAGS.steps * 1e3,
        "s to compile, one": compile_seconds["one"],
        "s to compile, replicas": compile_seconds["replicas"],
        "speedup of updates": float(np.median(ratio)),
        "speedup with compilation": runs / (compile_seconds["replicas"] + replicas),
    }


def main() -> None:
    """Measure and print the table."""
    write_rows(FLAGS.json, [])
    rows = [measure(method) for method in FLAGS.methods]
    write_rows(FLAGS.json, rows)
    sizes = f"B={FLAGS.batch_size}, K={FLAGS.num_particles}, R={FLAGS.num_replicas}"
    print(f"{machine()}, {sizes}\n\n{markdown(rows, list(rows[0]))}")


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
