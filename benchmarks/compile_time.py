"""From a method to its compiled epoch: tracing, lowering and compiling, each method in turn.

    python -m benchmarks.compile_time --methods=rws,rem_v1,rem_curvature

The program is that of `experiments.train`: an epoch of 784-200-200-20 networks with Adam and fresh
bits. Whatever JAX remembers is forgotten before each, and nothing is read from the disk. Prints
medians of the CPU's seconds, which other work on the machine changes less than the clock's, and
the ratio of the sum to that of the first method, turn by turn.
"""

import time
from typing import NamedTuple

import jax
import numpy as np
from absl import flags

from benchmarks.measure import median, median_ratio
from experiments.output.tables import markdown
from experiments.run import command_line
from experiments.run.methods import accepts, build_estimator
from remjax.data.binarization import per_minibatch
from remjax.models.gaussian import gaussian_model, gaussian_recognition
from remjax.models.likelihoods import bernoulli_likelihood
from remjax.training.epochs import make_epoch
from remjax.training.optimizers import adam
from remjax.training.steps import init_train_state

FLAGS = flags.FLAGS

DATA_SIZE = 784


class Seconds(NamedTuple):
    """CPU seconds of one compilation.

    Attributes:
        tracing: from Python to the program that XLA is given.
        compiling: from there to machine code.
    """

    tracing: float
    compiling: float


def compiled_anew(method: str) -> Seconds:
    """The seconds that an epoch of the method takes until it could run."""
    jax.clear_caches()
    rng = np.random.default_rng(0)
    mean = rng.uniform(0.0, 0.3, DATA_SIZE)
    sizes = {"latent_size": 20, "hidden_sizes": (200, 200)}
    options = {"num_particles": FLAGS.num_particles}
    if accepts(method, "keep"):
        options["keep"] = FLAGS.keep
    estimator = build_estimator(
        method,
        gaussian_model(bernoulli_likelihood(mean), **sizes),
        gaussian_recognition(mean, **sizes),
        options,
    )
    data = (rng.uniform(size=(2 * FLAGS.batch_size, DATA_SIZE)) < mean).astype(np.float32)
    optimizer = adam(1e-3)
    state = init_train_state(estimator, optimizer, jax.random.key(0), data)
    epoch = make_epoch(
        estimator,
        optimizer,
        num_data=len(data),
        batch_size=FLAGS.batch_size,
        binarization=per_minibatch,
    )
    steps = jax.jit(lambda *arguments: epoch.steps(*arguments), donate_argnums=0)
    order = np.arange(len(data))
    jax.block_until_ready(state)
    began = time.process_time()
    lowered = steps.lower(state, data, 1, order, False)
    traced = time.process_time()
    lowered.compile()
    return Seconds(traced - began, time.process_time() - traced)


def define_flags() -> None:
    """Which methods, and of what size."""
    flags.DEFINE_list("methods", ["rws", "rem_v1", "rem_curvature"], "methods to compile")
    flags.DEFINE_integer("batch_size", 20, "B, images", lower_bound=1)
    flags.DEFINE_integer("num_particles", 1000, "K, particles per image", lower_bound=1)
    flags.DEFINE_integer("keep", 16, "M, particles that carry the gradient", lower_bound=1)
    flags.DEFINE_integer("repeats", 5, "compilations of each method", lower_bound=1)


def main() -> None:
    """Compile every method --repeats times, in turns, and print the table."""
    jax.config.update("jax_enable_compilation_cache", False)
    turns = [[compiled_anew(method) for method in FLAGS.methods] for _ in range(FLAGS.repeats)]
    by_method = dict(zip(FLAGS.methods, zip(*turns, strict=True), strict=True))
    totals = {method: [sum(one) for one in found] for method, found in by_method.items()}
    rows = [
        {
            "method": method,
            "tracing": median([one.tracing for one in found]),
            "compiling": median([one.compiling for one in found]),
            "both": median(totals[method]),
            "ratio": median_ratio(totals[FLAGS.methods[0]], totals[method]),
        }
        for method, found in by_method.items()
    ]
    print(f"B={FLAGS.batch_size} K={FLAGS.num_particles}; CPU seconds, medians of {FLAGS.repeats}")
    print(markdown(rows, list(rows[0])))


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
