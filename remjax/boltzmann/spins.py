"""The map between bits of {0, 1} and spins of {-1, +1}, both ways."""

from typing import NamedTuple

from jaxtyping import Array, Float

from remjax.boltzmann.families import Bits
from remjax.boltzmann.machine_checks import check_rbm
from remjax.boltzmann.rbm import RBM
from remjax.errors import InputError


class Spins(NamedTuple):
    """An RBM over spins s, t of {-1, +1}: E = -(fields s + fields t + s J t).

    Attributes:
        couplings: J, [V, H].
        visible_field: [V].
        hidden_field: [H].
    """

    couplings: Float[Array, "V H"]
    visible_field: Float[Array, " V"]
    hidden_field: Float[Array, " H"]


def to_spins(rbm: RBM) -> tuple[Spins, Float[Array, ""]]:
    """The machine of spins s = 2 z - 1 with the same distribution.

    J = W / 4, fields a / 2 + sum_j W_j / 4 and b / 2 + sum_i W_i / 4.

    Returns:
        The spins' machine, and E_spins - E_bits, the same for all states, nats:
        log Z of the spins is log Z of the bits less it.

    Raises:
        InputError: for what is no RBM, or units that are no bits.
    """
    check_rbm(rbm, "give one, whose bits become spins")
    if not all(isinstance(family, Bits) for family in rbm.families):
        raise InputError("spins stand for bits, and this machine has real units: leave it as it is")
    quarter = rbm.weights / 4
    spins = Spins(
        quarter,
        rbm.visible_bias / 2 + quarter.sum(axis=1),
        rbm.hidden_bias / 2 + quarter.sum(axis=0),
    )
    constant = rbm.visible_bias.sum() / 2 + rbm.hidden_bias.sum() / 2 + quarter.sum()
    return spins, constant


def from_spins(spins: Spins) -> tuple[RBM, Float[Array, ""]]:
    """The machine of bits z = (s + 1) / 2 with the same distribution: the inverse of `to_spins`.

    W = 4 J, biases 2 (field - sum_j J_j).

    Returns:
        The bits' machine, and E_spins - E_bits, nats.

    Raises:
        InputError: for other than spins, as both that `to_spins` returns are.
    """
    if not isinstance(spins, Spins):
        raise InputError(
            f"{type(spins).__name__} is no Spins: give the first of the two that to_spins returns"
        )
    couplings = spins.couplings
    rbm = RBM(
        4 * couplings,
        2 * (spins.visible_field - couplings.sum(axis=1)),
        2 * (spins.hidden_field - couplings.sum(axis=0)),
    )
    return rbm, to_spins(rbm)[1]
