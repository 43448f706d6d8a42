"""What the device can do, and what a training step makes of it.

    python -m benchmarks.roofline --method=rem_v1 --num_particles=1000

Measures the rate of large float32 matrix products and of copies, and beside them what a step has to
do, divided by its time: the products of the decoder for every particle drawn, scored and
differentiated, and the traffic if each array of logits were written and read once (a compiler that
fuses the likelihood with the last layer writes none). A step far below both rates waits for
something else.
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jax import lax

from benchmarks.machine import machine
from benchmarks.measure import median, write_rows
from benchmarks.peers.networks import ours
from benchmarks.peers.networks.work import DATA_SIZE, HIDDEN_SIZE, LATENT_SIZE, TrainingWork
from experiments.output.tables import markdown
from experiments.run import command_line
from experiments.run.methods import build_estimator, particles_scored
from remjax.models.gaussian import gaussian_model, gaussian_recognition
from remjax.models.likelihoods import bernoulli_likelihood

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Which step, and how large the measured arrays are."""
    flags.DEFINE_string("method", "rem_v1", "method whose step is timed")
    flags.DEFINE_integer("batch_size", 20, "B, images", lower_bound=1)
    flags.DEFINE_integer("num_particles", 1000, "K, particles per image", lower_bound=1)
    flags.DEFINE_integer("size", 2048, "rows and columns of the measured matrices", lower_bound=1)
    flags.DEFINE_integer("repeats", 5, "counted runs", lower_bound=1)
    flags.DEFINE_string("json", None, "file for the rows")


def seconds_of(run: Callable[[], Any]) -> float:
    """Median time of a run, after one that is not counted."""
    times = []
    for _ in range(FLAGS.repeats + 1):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return median(times[1:])


def device_rates(size: int) -> tuple[float, float]:
    """(floating-point operations, bytes read and written) per second.

    Args:
        size: of the square matrices; sixteen times as many numbers are copied.
    """
    rounds = 8
    matrix = jax.random.normal(jax.random.key(0), (size, size)) / size**0.5
    long = jnp.ones((16 * size * size,))

    @jax.jit
    def products(matrix: jax.Array) -> jax.Array:
        return lax.fori_loop(0, rounds, lambda _, total: total @ matrix, matrix)

    @jax.jit
    def copies(long: jax.Array) -> jax.Array:
        return lax.fori_loop(0, rounds, lambda i, array: array + i, long)

    multiplied = seconds_of(lambda: jax.block_until_ready(products(matrix)))
    copied = seconds_of(lambda: jax.block_until_ready(copies(long)))
    return 2 * rounds * size**3 / multiplied, 2 * rounds * long.nbytes / copied


def step_needs(method: str, batch_size: int, num_particles: int) -> tuple[float, float]:
    """(operations, bytes) of an exact step, with every array of logits written and read once.

    Every particle drawn is scored by one forward pass, and K of each image take part in the
    gradient, which is two more.
    """
    sizes = {"latent_size": LATENT_SIZE, "hidden_sizes": (HIDDEN_SIZE, HIDDEN_SIZE)}
    mean = np.full(DATA_SIZE, 0.5)
    model = gaussian_model(bernoulli_likelihood(mean), **sizes)
    recognition = gaussian_recognition(mean, **sizes)
    estimator = build_estimator(method, model, recognition, {"num_particles": num_particles})
    products = LATENT_SIZE * HIDDEN_SIZE + HIDDEN_SIZE**2 + HIDDEN_SIZE * DATA_SIZE
    passes = batch_size * (particles_scored(estimator, DATA_SIZE) + 2 * num_particles)
    return 2.0 * passes * products, 2.0 * 4 * passes * DATA_SIZE


def main() -> None:
    """Measure the device and the step; print both."""
    write_rows(FLAGS.json, [])
    matrix_rate, copy_rate = device_rates(FLAGS.size)
    work = TrainingWork(FLAGS.method, FLAGS.batch_size, FLAGS.num_particles, None, 1)
    seconds = seconds_of(ours.prepare(work).run)
    operations, traffic = step_needs(FLAGS.method, FLAGS.batch_size, FLAGS.num_particles)
    rows = [
        {"what": "matrix products", "GFLOP/s": matrix_rate / 1e9, "GB/s": None},
        {"what": "copies", "GFLOP/s": None, "GB/s": copy_rate / 1e9},
        {
            "what": f"{FLAGS.method}, B={FLAGS.batch_size}, K={FLAGS.num_particles}",
            "GFLOP/s": operations / seconds / 1e9,
            "GB/s": traffic / seconds / 1e9,
            "milliseconds": 1e3 * seconds,
        },
    ]
    print(f"{machine()}\n\n{markdown(rows, ['what', 'GFLOP/s', 'GB/s', 'milliseconds'])}")
    write_rows(FLAGS.json, rows)


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
