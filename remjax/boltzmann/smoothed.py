"""A machine of smoothed bits: a density of the numbers, of which log Z is bounded by mean field."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from remjax.boltzmann.machine import check_count
from remjax.boltzmann.mean_field import log_z_bound
from remjax.boltzmann.normalized import NormalizedMachine, split
from remjax.boltzmann.pytrees import frozen_pytree
from remjax.distributions.base import Distribution
from remjax.distributions.smoothings import Smoothing, as_smoothing
from remjax.errors import InputError

# Log odds at which a mixture of r(. | 0) and r(. | 1) is one of them.
_CERTAIN = 100.0


@frozen_pytree
@dataclasses.dataclass(frozen=True)
class SmoothedMachine(Distribution):
    """p(zeta) = sum_z p(z) prod_i r(zeta_i | z_i), a relaxed Boltzmann prior.

    With l_i = log r(zeta_i | 1) - log r(zeta_i | 0) as additions to the biases

        log p(zeta) = sum_i log r(zeta_i | 0) + log Z(machine, l) - log Z(machine),

    where log Z(machine, l) is bounded from below by mean field (DVAE#, Vahdat, Andriyash & Macready
    2018): `log_prob` is a bound too, whose mass is 1 or a little less. Where the densities are
    sharp (a large beta), the bits given zeta are nearly known, and the bound is close.

    Attributes:
        bits: p(z); its log Z and that one's gradient are used, as `NormalizedMachine` has them.
        smoothing: the densities r(zeta | 0) and r(zeta | 1); static.
        num_sweeps: of mean field over both sides, from zeta of the first on; static. 5 in the
            paper's code.

    Raises:
        InputError: for a machine with real units, a relaxation that is no mixture of two densities,
            or less than one sweep.
    """

    bits: NormalizedMachine
    smoothing: Smoothing = dataclasses.field(metadata={"static": True})
    num_sweeps: int = dataclasses.field(default=5, metadata={"static": True})

    def __post_init__(self) -> None:
        as_smoothing(self.smoothing)
        check_count("num_sweeps", self.num_sweeps)
        if not self.bits.is_discrete:
            raise InputError("a smoothed machine is of bits, and this one has real units")

    @property
    def smoothed_by(self) -> Smoothing:
        """The smoothing."""
        return self.smoothing

    def hard(self) -> NormalizedMachine:
        """The machine of the bits that are summed out."""
        return self.bits

    def log_prob(self, z: Float[Array, " D"]) -> Float[Array, ""]:
        """A lower bound of log p(zeta), nats. Gradients reach zeta, the machine and its log Z.

        The means stand still: the gradient is that of the bound where they are a fixed point.

        Raises:
            InputError: where log Z is not known, as `NormalizedMachine.log_prob`.
        """
        zero, one = self.smoothing.log_densities(z)
        machine, gains = self.bits.machine, split(self.bits.machine, one - zero)
        given = dataclasses.replace(
            machine,
            visible_bias=machine.visible_bias + gains.visible,
            hidden_bias=machine.hidden_bias + gains.hidden,
        )
        bound = log_z_bound(given, split(machine, z).visible, self.num_sweeps)
        return jnp.sum(zero) + bound - self.bits.known_log_z()

    def sample(self, key: Key[Array, ""]) -> Float[Array, " D"]:
        """zeta of a draw of the machine's bits (`NormalizedMachine.sample`); without gradient."""
        key_bits, key = jax.random.split(key)
        z = self.bits.sample(key_bits)
        uniforms = jax.random.uniform(key, z.shape, z.dtype)
        return self.smoothing.relax(uniforms, _CERTAIN * (2.0 * z - 1.0))

    def rsample(self, key: Key[Array, ""]) -> Float[Array, " D"]:
        """Refused, as by `NormalizedMachine`.

        Raises:
            InputError: always.
        """
        return self.bits.rsample(key)
