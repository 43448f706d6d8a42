"""A posterior over bits and real numbers: an exponential family harmonium of ONE datapoint.

The outlook of Vahdat et al. 2019 (Section 5): the bits of one block and the real numbers of the
other are independent given each other (Welling et al. 2005), so the chains and the gradient through
sweeps are those of a machine of bits.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Key

from remjax.boltzmann.families import Reals
from remjax.boltzmann.posterior import UndirectedPosterior
from remjax.boltzmann.pytrees import frozen_pytree
from remjax.boltzmann.rbm import RBM
from remjax.distributions.base import Distribution
from remjax.errors import InputError


@frozen_pytree
@dataclasses.dataclass(frozen=True)
class HarmoniumPosterior(UndirectedPosterior):
    """q(v, h) = exp(a v + b h + v W h - 1/2 sum_j lambda_j h_j^2) / Z, v bits and h real numbers.

    The latent is (v, h) in one vector, v first. Given v the real numbers are Gaussians of mean
    (b + v W) / lambda and variance 1 / lambda, so the marginal of h is a mixture of 2^V of them.
    Chains remember the bits. A draw of h carries its gradient whatever the relaxation of the bits.
    """

    def __post_init__(self) -> None:
        """Refuse a machine without real hidden units.

        Raises:
            InputError: for one of bits alone.
        """
        if not isinstance(self.machine.hidden, Reals):
            raise InputError(
                "a harmonium posterior has real hidden units: give a machine with hidden=Reals(...)"
            )

    def advance(
        self, key: Key[Array, ""], chains: Bool[Array, "C V"], num_sweeps: int
    ) -> Bool[Array, "C V"]:
        """Chains after s sweeps, their bits. Consumes the key; no gradient passes."""
        machine: RBM = lax.stop_gradient(self.machine)

        def sweep(v: Float[Array, "C V"], key: Key[Array, ""]) -> tuple[Float[Array, "C V"], None]:
            key_hidden, key_visible = jax.random.split(key)
            h = machine.hidden.draw(key_hidden, machine.hidden_field(v))
            return machine.visible.draw(key_visible, machine.visible_field(h)), None

        keys = jax.random.split(key, num_sweeps)
        return lax.scan(sweep, chains.astype(machine.dtype), keys)[0] > 0.5

    def expected_log_prob(self, mean: Float[Array, " D"], covariance: Float[Array, "D D"]) -> None:
        """None: the energy is quadratic in the real numbers."""

    def matched(self, mean: Float[Array, " E"], covariance: Float[Array, "E E"]) -> Distribution:
        """Refused: nothing of the kind is known by its moments.

        Raises:
            InputError: always.
        """
        return Distribution.matched(self, mean, covariance)

    def _hidden_block(self, key: Key[Array, ""], field: Float[Array, " H"]) -> Float[Array, " H"]:
        family = self.machine.hidden
        assert isinstance(family, Reals)
        noise = jax.random.normal(key, field.shape, field.dtype)
        return family.mean(field) + noise * jnp.exp(-0.5 * family.log_precision)
