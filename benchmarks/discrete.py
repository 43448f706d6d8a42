"""Time and memory of an update of discrete VAEs, directed posteriors beside undirected ones.

    python -m benchmarks.discrete --json=discrete.json

Networks of 784-200-200, batch normalisation, a Boltzmann prior of --bits on each side whose
samples are --prior_chains chains of 5 sweeps each, piece-wise linear bits, one particle, Adam,
random bits as data. In turn are timed, --updates of each in one compiled program: directed
posteriors of 1 and 4 groups, and an undirected one with --sweeps hard sweeps of the chains of each
datapoint and one relaxed sweep. `ratio` is the median of the paired ratios to one group.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import flags

from benchmarks.machine import machine
from benchmarks.measure import median, median_ratio, time_in_turn, write_rows
from benchmarks.peers.updates import prepared_updates
from benchmarks.peers.work import Prepared
from experiments.output.tables import markdown
from experiments.run import command_line
from remjax import boltzmann, methods
from remjax.distributions import PiecewiseLinear
from remjax.methods.method import make_estimator
from remjax.methods.row import Particles
from remjax.models import (
    batch_normalization,
    bernoulli_likelihood,
    boltzmann_model,
    grouped_recognition,
    undirected_recognition,
    with_boltzmann_prior,
)
from remjax.types import Recognition

FLAGS = flags.FLAGS

_DATA_SIZE, _HIDDEN, _PRIOR_SWEEPS = 784, (200, 200), 5


def define_flags() -> None:
    """The sizes, and how long to time them."""
    flags.DEFINE_integer("bits", 100, "of each side of the prior", lower_bound=1)
    flags.DEFINE_integer("batch_size", 100, "datapoints of an update", lower_bound=1)
    flags.DEFINE_integer("prior_chains", 500, "chains of the prior", lower_bound=1)
    flags.DEFINE_integer("sweeps", 10, "of the chains of a datapoint", lower_bound=1)
    flags.DEFINE_integer("updates", 50, "of one timed run", lower_bound=1)
    flags.DEFINE_integer("repeats", 7, "counted runs of each", lower_bound=1)
    flags.DEFINE_string("json", None, "file for the rows")


def recognitions(mean: np.ndarray) -> dict[str, Recognition]:
    """By the name of the posterior."""
    common = {
        "hidden_sizes": _HIDDEN,
        "relaxation": PiecewiseLinear(),
        "normalization": batch_normalization(),
    }
    directed = {
        f"directed, {groups} group" + "s" * (groups > 1): grouped_recognition(
            mean,
            latent_size=2 * FLAGS.bits,
            num_groups=groups,
            num_smoothed=max(groups // 2, 1),
            **common,
        )
        for groups in (1, 4)
    }
    sides = {"visible_size": FLAGS.bits, "hidden_size": FLAGS.bits}
    sweeps = FLAGS.sweeps
    return directed | {
        f"undirected, {sweeps} sweeps": undirected_recognition(
            mean, **sides, num_sweeps=sweeps, **common
        )
    }


def updates(recognition: Recognition, rows: jax.Array) -> Prepared:
    """--updates in one compiled program, as `make_epoch` makes them."""
    model = boltzmann_model(
        bernoulli_likelihood(np.asarray(rows.mean(axis=0))),
        visible_size=FLAGS.bits,
        hidden_size=FLAGS.bits,
        hidden_sizes=_HIDDEN,
        normalization=batch_normalization(),
    )
    estimator = make_estimator(model, recognition, methods.dvae, Particles(1))
    phase = boltzmann.pcd(FLAGS.prior_chains, _PRIOR_SWEEPS)
    estimator = with_boltzmann_prior(estimator, phase, weight_decay=1e-4)
    optimizer = optax.adam(3e-4, eps=1e-3)
    return prepared_updates(estimator, optimizer, rows, FLAGS.batch_size, FLAGS.updates)


def main() -> None:
    """Time all in turn, print the table, write the rows."""
    write_rows(FLAGS.json, [])
    rng = np.random.default_rng(0)
    rows = (rng.random((FLAGS.batch_size * 10, _DATA_SIZE)) < 0.2).astype(np.float32)
    data = jnp.asarray(rows)
    programs = {n: updates(r, data) for n, r in recognitions(rows.mean(axis=0)).items()}
    seconds = time_in_turn({name: one.run for name, one in programs.items()}, FLAGS.repeats)
    first = next(iter(seconds))
    found: list[dict[str, Any]] = [
        {
            "posterior": name,
            "ms per update": 1e3 * median(times) / FLAGS.updates,
            "ratio": median_ratio(seconds[first], times),
            "temporary MB": programs[name].temp_bytes / 1e6,
        }
        for name, times in seconds.items()
    ]
    write_rows(FLAGS.json, found)
    print(f"{machine()}, B={FLAGS.batch_size}, {FLAGS.bits}+{FLAGS.bits} bits\n")
    print(markdown(found, list(found[0])))


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
