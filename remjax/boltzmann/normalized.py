"""A machine with its log Z: a distribution of one latent, the units of both sides in one vector."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from remjax import sharding
from remjax.boltzmann.families import Bits
from remjax.boltzmann.gibbs import gibbs_steps
from remjax.boltzmann.likelihood import Sample
from remjax.boltzmann.machine import check_width
from remjax.boltzmann.paths import bias_base
from remjax.boltzmann.pytrees import frozen_pytree
from remjax.boltzmann.rbm import RBM, Units
from remjax.distributions.base import Distribution
from remjax.errors import InputError

# A draw without samples to choose from: a chain of so many sweeps from the units without couplings.
_SWEEPS_OF_A_DRAW = 1000


@frozen_pytree
@dataclasses.dataclass(frozen=True)
class NormalizedMachine(Distribution):
    """p(z) = exp(-E(z) - log_z) of z = (visible, hidden) in one vector [V + H].

    Numbers between 0 and 1 stand for relaxed bits: the energy is linear in each of them, and log_z
    is that of bits all the same. That is GumBolt's proxy (Khoshaman & Amin 2018), and no density of
    the numbers; `SmoothedMachine` has one.

    Attributes:
        machine: the energy.
        log_z: nats. Its gradient is part of it (`log_z_along`): whoever differentiates `log_prob`
            needs no more. None where nobody has estimated it yet: then there is no density.
        visible: [C, V], samples of the machine for `sample`; None where there are none.
        log_weights: [C], of the samples, not normalised.
    """

    machine: RBM
    log_z: Float[Array, ""] | None = None
    visible: Float[Array, "C V"] | None = None
    log_weights: Float[Array, " C"] | None = None

    @property
    def is_discrete(self) -> bool:
        """Whether all units are bits."""
        return all(isinstance(family, Bits) for family in self.machine.families)

    def log_prob(self, z: Float[Array, " D"]) -> Float[Array, ""]:
        """-E(z) - log_z, nats. Gradients reach z, the machine and log_z.

        Raises:
            InputError: where log_z is None.
        """
        return -self.machine.energy(split(self.machine, z)) - self.known_log_z()

    def expected_log_prob(
        self, mean: Float[Array, " D"], covariance: Float[Array, "D D"]
    ) -> Float[Array, ""] | None:
        """-E[E(z)] - log_z, which the moments determine where the units are bits."""
        if not self.is_discrete:
            return None
        return expected_gain(self.machine, mean, covariance) - self.known_log_z()

    def sample(self, key: Key[Array, ""]) -> Float[Array, " D"]:
        """One of the samples by its weight, the hidden units drawn anew; without gradient.

        Without samples the end of a chain of 1,000 sweeps from the machine without couplings.
        """
        key_visible, key_hidden = jax.random.split(key)
        machine: RBM = lax.stop_gradient(self.machine)
        if self.visible is None or self.log_weights is None:
            start = bias_base(machine).draw_base(key_hidden, ())
            return jnp.concatenate(
                gibbs_steps(key_visible, machine, Units(*start), _SWEEPS_OF_A_DRAW)[0]
            )
        chosen = jax.random.categorical(key_visible, self.log_weights)
        visible = lax.stop_gradient(self.visible[chosen])
        hidden = machine.hidden.draw(key_hidden, machine.hidden_field(visible))
        return jnp.concatenate([visible, hidden])

    def rsample(self, key: Key[Array, ""]) -> Float[Array, " D"]:
        """Refused: the end of a chain has no gradient.

        Raises:
            InputError: always.
        """
        raise InputError("draws of a Boltzmann machine have no gradient: use its log_prob")

    def known_log_z(self) -> Float[Array, ""]:
        """log_z, once it is known that there is one.

        Raises:
            InputError: where it is None.
        """
        if self.log_z is None:
            raise InputError(
                "the prior is a Boltzmann machine whose log Z is not known: to train, wrap the "
                "estimator in models.with_boltzmann_prior; else give theta to "
                "models.normalize_prior with an estimate of log Z"
            )
        return self.log_z


def split(machine: RBM, z: Float[Array, "*B D"]) -> Units:
    """The units of both sides of a vector of all.

    Raises:
        InputError: for another number of units than the machine's.
    """
    check_width("latents", z.shape, machine.num_units)
    size = machine.sizes[0]
    return Units(z[..., :size], z[..., size:])


def log_z_along(machine: RBM, value: Float[Array, ""], sample: Sample) -> Float[Array, ""]:
    """A number with the gradient of log Z, d log Z = -E_p[dF(v)], by samples of the machine.

    Args:
        machine: reached by the gradient.
        value: what comes out, an estimate of log Z, nats.
        sample: of the negative phase, that of this device: the mean is that over the chains of all
            devices along the mesh axis `particles`.
    """
    visible, weights = lax.stop_gradient((sample.visible, sample.weights))
    own = jnp.mean(weights * machine.free_energy(visible))
    free = sharding.sum_over_particles(own) / sharding.particle_devices()
    return lax.stop_gradient(value) - (free - lax.stop_gradient(free))


def expected_gain(
    machine: RBM, mean: Float[Array, " D"], covariance: Float[Array, "D D"]
) -> Float[Array, ""]:
    """-E[E(z)] in nats of bits z with these moments: a v + b h + sum_ij W_ij E[v_i h_j].

    Args:
        machine: of bits; gradients reach its parameters.
        mean: of both sides in one vector.
        covariance: of the same.
    """
    size = machine.sizes[0]
    at_mean = -machine.energy(split(machine, mean))
    return at_mean + jnp.sum(machine.weights * covariance[:size, size:])
