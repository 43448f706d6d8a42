"""Several hosts: processes that are one run. Only the first of them reads and writes its files."""

import json
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jax.experimental import multihost_utils

from remjax.errors import InputError

FLAGS = flags.FLAGS

# After this many seconds a dead host ends the others; the hosts wait so long for one another.
_SECONDS_TO_DIE = 30
_SECONDS_TO_COME = 120

T = TypeVar("T")


def define_flags() -> None:
    """How the hosts find one another."""
    flags.DEFINE_integer(
        "num_hosts", 1, "processes, one per host, that run this command together", lower_bound=1
    )
    flags.DEFINE_integer(
        "host_index",
        None,
        "number of this one, from 0; default as Slurm, Open MPI or a TPU pod sets it",
    )
    flags.DEFINE_string(
        "coordinator",
        None,
        "ADDRESS:PORT of host 0; default as Slurm, Open MPI or a TPU pod sets it",
    )


def join() -> None:
    """Become one of the hosts that the flags name; to be called before JAX is used.

    Raises:
        InputError: the flags do not fit, or the hosts do not find one another.
    """
    count, index = FLAGS.num_hosts, FLAGS.host_index
    if count == 1:
        if index or FLAGS.coordinator:
            raise InputError("--host_index and --coordinator are for several: give --num_hosts too")
        return
    if index is not None and not 0 <= index < count:
        raise InputError(f"--host_index={index} cannot be: give a number from 0 to {count - 1}")
    try:
        jax.distributed.initialize(
            FLAGS.coordinator,
            count,
            index,
            initialization_timeout=_SECONDS_TO_COME,
            heartbeat_timeout_seconds=_SECONDS_TO_DIE,
            shutdown_timeout_seconds=_SECONDS_TO_DIE,
        )
    except (ValueError, RuntimeError, IndexError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"the {count} hosts did not find one another ({reason}): give every host the same "
            "--num_hosts and --coordinator=ADDRESS:PORT of host 0, and its own --host_index"
        ) from error


def require_same(what: str, value: Any) -> None:
    """Check that every host gives the same value; all call it at the same point.

    Args:
        what: the value is, for the message.
        value: what JSON can hold; of a dictionary the message names the entries that differ.

    Raises:
        InputError: on every host, where they differ.
    """
    parts = value if isinstance(value, dict) else {"": value}
    # Each host may have the files in a place of its own.
    names = [name for name in parts if name != "data_dir"]
    # 31 bits: JAX counts in 32 with a sign.
    sums = gather(*(zlib.crc32(json.dumps(parts[name]).encode()) >> 1 for name in names))
    differing = [
        name for name, column in zip(names, sums.T, strict=True) if len(np.unique(column)) > 1
    ]
    if differing:
        settings = ", ".join(f"--{name}" for name in differing if name)
        raise InputError(
            f"the hosts do not have the same {what}{settings and f' ({settings})'}: give every "
            "host the same command and data files; with --resume, repeat the flags where the run's "
            "folder cannot be read"
        )


def is_first() -> bool:
    """Whether this host is the one that reads, writes and prints."""
    return jax.process_index() == 0


def gather(*numbers: int) -> np.ndarray:
    """The numbers of every host, [hosts, numbers], on every host; all call it at the same point."""
    return multihost_utils.process_allgather(np.array(numbers))


def from_first(tree: T) -> T:
    """The arrays that the first host has, on every host; the others give some of the same shape."""
    if jax.process_count() == 1:
        return tree
    keys = jax.tree.map(lambda leaf: jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key), tree)
    raw = jax.tree.map(lambda leaf, key: jax.random.key_data(leaf) if key else leaf, tree, keys)
    raw = multihost_utils.broadcast_one_to_all(raw)
    return jax.tree.map(
        lambda leaf, key: jax.random.wrap_key_data(leaf) if key else leaf, raw, keys
    )


def on_first(action: Callable[[], T]) -> T | None:
    """Do something on the first host alone; an error there stops every host.

    Returns:
        What the action returns, and None on every other host.

    Raises:
        InputError: the action raised it; on every host.
    """
    value, message = None, b""
    if is_first():
        try:
            value = action()
        except InputError as error:
            message = str(error).encode()
    size = int(gather(len(message))[0, 0])
    if size:
        letters = np.frombuffer(message.ljust(size), np.uint8)
        raise InputError(np.asarray(from_first(letters)).tobytes().decode())
    return value
