"""What the machines of the variations learn: distributions over so few bits that all is exact.

The log-likelihood is that of the training rows themselves, so that nothing is held out: the
question is how well a gradient climbs, not how well a machine generalises.
"""

import itertools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, Num

from remjax.boltzmann import RBM, init_rbm, log_partition
from remjax.boltzmann.trajectories import all_bits
from remjax.data import load

# Of the weights at the start: with smaller ones plain gradients rest for long at the saddle point
# where no hidden unit has anything to say.
_SCALE = 0.1


class Task(NamedTuple):
    """A distribution D to learn, and the machine that learns it.

    Attributes:
        name: in tables.
        title: in pictures.
        meaning: in words.
        rows: [N, V] bits; D gives each row the same probability.
        num_hidden: H.
        batch_size: B, rows of an update and chains of its negative phase.
        enumerates: whether an update may go through all 2^V visible states.
    """

    name: str
    title: str
    meaning: str
    rows: Num[np.ndarray, "N V"]
    num_hidden: int
    batch_size: int
    enumerates: bool

    def init(self, key: Key[Array, ""]) -> RBM:
        """The machine before it learns. Consumes the key."""
        return init_rbm(key, self.num_hidden, self.rows.mean(axis=0), scale=_SCALE)

    @property
    def data(self) -> Float[Array, "N V"]:
        """The rows, on the device."""
        return jnp.asarray(self.rows, jnp.float32)

    @property
    def states(self) -> Float[Array, "n V"]:
        """All visible states, n = 2^V."""
        return all_bits(self.rows.shape[1])

    @property
    def distribution(self) -> Float[Array, " n"]:
        """D of each of `states`."""
        codes = places_of(self.rows)
        counts = np.bincount(codes, minlength=2 ** self.rows.shape[1])
        return jnp.asarray(counts / len(codes), jnp.float32)

    @property
    def entropy(self) -> float:
        """Of D, nats: no machine has a mean log-likelihood above minus this."""
        p = np.unique(self.rows, axis=0, return_counts=True)[1] / len(self.rows)
        return float(-np.sum(p * np.log(p)))

    def log_likelihood(self, machine: RBM) -> Float[Array, ""]:
        """E_D[log p(x)] in nats, exactly: log Z enumerates the smaller side."""
        return jnp.mean(machine.log_prob(self.data, log_partition(machine)))


def places_of(rows: Num[np.ndarray, "N V"] | Float[Array, "N V"]) -> Array | np.ndarray:
    """The place of each row among `all_bits(V)`."""
    return (rows @ (2 ** np.arange(rows.shape[1]))).astype(int)


def bars_and_stripes(side: int = 3, num_hidden: int = 6, copies: int = 4) -> Task:
    """Images whose lines are all of one value, of one direction chosen by a fair coin.

    The empty image and the full one come from both directions, twice as often as the others
    (MacKay 2003, Chapter 43; the benchmark of Fischer & Igel 2010).

    Args:
        side: of the image, in pixels.
        num_hidden: H.
        copies: of each row in a batch, which holds all of them.
    """
    images = []
    for line in itertools.product((0, 1), repeat=side):
        image = np.repeat(np.array(line)[:, None], side, axis=1)
        images += [image, image.T]
    rows = np.tile(np.array(images).reshape(-1, side * side), (copies, 1))
    meaning = f"bars and stripes of {side} x {side} pixels"
    return Task("bars", "bars and stripes", meaning, rows, num_hidden, len(rows), enumerates=True)


def shifter(width: int = 3, num_hidden: int = 6, copies: int = 3) -> Task:
    """Bits, the same bits rolled to the left, not at all or to the right, and which of the three.

    The shifter ensemble of Hinton & Sejnowski (1986): all bits and rolls alike probable.

    Args:
        width: bits that are rolled.
        num_hidden: H.
        copies: of each row in a batch, which holds all of them.
    """
    rows = [
        np.concatenate([bits, np.roll(bits, place - 1), np.eye(3, dtype=int)[place]])
        for bits in itertools.product((0, 1), repeat=width)
        for place in range(3)
    ]
    tiled = np.tile(np.array(rows), (copies, 1))
    meaning = f"the shifter ensemble of {width} + {width} + 3 bits"
    return Task(
        "shifter", "shifter ensemble", meaning, tiled, num_hidden, len(tiled), enumerates=True
    )


def digits(num_hidden: int = 8, batch_size: int = 100) -> Task:
    """The digits of scikit-learn as 4 x 4 bits: blocks of 2 x 2 pixels, bright in the mean or not.

    Args:
        num_hidden: H.
        batch_size: rows of an update.
    """
    grey = load("digits").train.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4))
    rows = (grey > 0.5).astype(int).reshape(-1, 16)
    meaning = f"{len(rows):,} digits of scikit-learn, reduced to 4 x 4 bits"
    return Task(
        "digits", "digits of 4 x 4 bits", meaning, rows, num_hidden, batch_size, enumerates=False
    )
