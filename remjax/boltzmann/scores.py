"""How likely data are under a machine, with what is not known about it, in one call."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, Shaped

from remjax.boltzmann.brackets import measure_bracket
from remjax.boltzmann.gibbs import init, visible_rows
from remjax.boltzmann.machine import check_count
from remjax.boltzmann.machine_checks import check_rbm
from remjax.boltzmann.paths import data_mean_base
from remjax.boltzmann.rbm import RBM
from remjax.boltzmann.schedules import choose_inverse_temperatures


class LogLikelihood(NamedTuple):
    """The log-likelihood of rows, nats per row, from both sides.

    Attributes:
        low: by log Z of the reverse chains: too small on average.
        value: by the bridge between both.
        high: by log Z of the forward chains, annealed importance sampling: too large on average.
        log_z_stderr: standard error of the bridge, nats: it moves all rows alike.
        rows: [n], of each row by the bridge.
    """

    low: Float[Array, ""]
    value: Float[Array, ""]
    high: Float[Array, ""]
    log_z_stderr: Float[Array, ""]
    rows: Float[Array, " n"]


def measure_log_likelihood(
    key: Key[Array, ""],
    machine: RBM,
    x: Shaped[Any, "n V"],
    train: Shaped[Any, "m V"],
    *,
    num_temperatures: int = 1000,
    num_chains: int = 500,
    burn_in: int = 1000,
) -> LogLikelihood:
    """The mean of log p(x) = -F(x) - log Z, by forward and reverse chains.

    It is `data_mean_base`, `choose_inverse_temperatures`, `init` and `measure_bracket`, one after
    another. Where the bracket is wide, give more temperatures; where low lies above high, the long
    chains have not mixed: give more burn-in.

    Args:
        key: of everything. Consumed.
        machine: an RBM.
        x: the rows, of a test set.
        train: rows of the training set: the base has their means, and the reverse chains begin at
            the ends of chains that began at them.
        num_temperatures: of the annealing.
        num_chains: forward, and as many in reverse.
        burn_in: sweeps from rows to the beginnings of the reverse chains.

    Raises:
        InputError: for what is no RBM of finite parameters, rows that visible units cannot be, or
            numbers of less than one.
    """
    check_rbm(machine, "of another machine, call the functions above with its base")
    check_count("num_temperatures", num_temperatures)
    x, train = visible_rows(machine, x), visible_rows(machine, train)
    key_pilots, key_starts, key_bracket = jax.random.split(key, 3)
    path = data_mean_base(machine, np.mean(np.asarray(train), axis=0, dtype=np.float64))
    found = measure_bracket(
        key_bracket,
        path,
        choose_inverse_temperatures(key_pilots, path, num_temperatures),
        init(key_starts, machine, num_chains, train),
        num_chains=num_chains,
        burn_in=burn_in,
    )
    unnormalized = -machine.free_energy(x)
    mean = jnp.mean(unnormalized)
    return LogLikelihood(
        mean - found.upper.log_z,
        mean - found.log_z,
        mean - found.lower.log_z,
        found.stderr,
        unnormalized - found.log_z,
    )
