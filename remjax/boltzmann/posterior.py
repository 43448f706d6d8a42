"""A machine as the posterior of ONE datapoint: hard chains that persist, and a few relaxed sweeps.

An undirected posterior has no draw that can be differentiated, and a log Z that is not known. Its
chains are bits and carry no gradient; a particle is made of one by sweeps that do (Vahdat et al.
2019, Eqs. 11-14). The first block alone is the state of a chain, and a sweep draws the second block
given it, then the first given the second, as the code of Vahdat et al. has it; their paper has the
blocks the other way round.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key

from remjax.boltzmann.bits import uniforms
from remjax.boltzmann.mean_field import log_z_bound
from remjax.boltzmann.normalized import expected_gain, split
from remjax.boltzmann.pytrees import frozen_pytree
from remjax.boltzmann.rbm import RBM, Units
from remjax.distributions.base import Distribution, Drawn, Smoothed
from remjax.distributions.bernoulli import Bernoulli
from remjax.distributions.relaxations import Relaxation
from remjax.errors import InputError

# Of the mean-field iteration behind the value of log Z.
_MEAN_FIELD_SWEEPS = 2


class Noise(NamedTuple):
    """What a particle is made of again: the name of its draws, and the number of its chain."""

    key: Key[Array, ""]
    index: Int[Array, ""]


@frozen_pytree
@dataclasses.dataclass(frozen=True)
class UndirectedPosterior(Distribution):
    """q(z) = exp(-E(z)) / Z of z = (visible, hidden) in one vector, Z unknown.

    Particle k begins at chain k, or at chain k mod C where there are fewer, and goes on for t
    sweeps: bits, or relaxed ones with the gradient of the machine through all t sweeps.

    Attributes:
        machine: of bits.
        relaxation: makes a number of a uniform number and the log odds of a bit; None for bits.
            Static.
        num_relaxed_sweeps: t, at least 1. Static.
        num_fresh_sweeps: of a chain that begins at fair coins, where there are no chains: a new
            datapoint, in evaluation and for pictures. Static.
        chains: [C, V], the first block of chains at equilibrium; None for none.
    """

    machine: RBM
    relaxation: Relaxation | None = dataclasses.field(default=None, metadata={"static": True})
    num_relaxed_sweeps: int = dataclasses.field(default=1, metadata={"static": True})
    num_fresh_sweeps: int = dataclasses.field(default=100, metadata={"static": True})
    chains: Bool[Array, "C V"] | None = None

    @property
    def is_discrete(self) -> bool:
        """Whether the particles are bits."""
        return self.relaxation is None

    @property
    def is_relaxed(self) -> bool:
        """Whether numbers stand in the place of bits."""
        return self.relaxation is not None

    @property
    def is_normalized(self) -> bool:
        """It is not: see `log_prob`."""
        return False

    def hard(self) -> "UndirectedPosterior":
        """The same machine, its particles bits."""
        return dataclasses.replace(self, relaxation=None)

    def at(self, memory: Bool[Array, "C V"]) -> "UndirectedPosterior":
        """The distribution with these chains."""
        return dataclasses.replace(self, chains=memory)

    def advance(
        self, key: Key[Array, ""], chains: Bool[Array, "C V"], num_sweeps: int
    ) -> Bool[Array, "C V"]:
        """Chains after s hard sweeps. Consumes the key; no gradient passes."""
        machine: RBM = lax.stop_gradient(self.machine)
        # All at once: the generator is dearer to start than to run.
        noise = Units(
            *(
                uniforms(name, (num_sweeps, chains.shape[0], size), machine.dtype)
                for name, size in zip(jax.random.split(key), machine.sizes, strict=True)
            )
        )

        def sweep(v: Float[Array, "C V"], noise: Units) -> tuple[Float[Array, "C V"], None]:
            h = (noise.hidden < machine.hidden_mean(v)).astype(v.dtype)
            return (noise.visible < machine.visible_mean(h)).astype(v.dtype), None

        return lax.scan(sweep, chains.astype(machine.dtype), noise)[0] > 0.5

    def log_prob(self, z: Float[Array, " D"]) -> Float[Array, ""]:
        """-E(z) - log Z in nats, log Z by an estimate. Gradients reach z and the machine.

        The value of log Z is the mean-field lower bound, so that a particle's weight p(x, z) / q(z)
        is too small by one factor for all, and a bound on log p(x) made of them stays one. Its
        gradient is -mean dF over the chains. Without chains there is none to be had, and the
        machine is held fixed: gradients reach z alone.
        """
        fixed = lax.stop_gradient(self) if self.chains is None else self
        return -fixed.energy(z) - self._log_z()

    def energy(self, z: Float[Array, " D"]) -> Float[Array, ""]:
        """E(z) in nats, of the latent alone: log q(z) is -E(z) less a constant."""
        return self.machine.energy(split(self.machine, z))

    def latents(self, units: Units) -> Float[Array, "*C D"]:
        """The latents of units of the machine, with any leading axes."""
        return jnp.concatenate(units, axis=-1)

    def expected_log_prob(
        self, mean: Float[Array, " D"], covariance: Float[Array, "D D"]
    ) -> Float[Array, ""]:
        """E[log_prob(z)]: the energy is linear in each bit, so the moments determine it."""
        machine = lax.stop_gradient(self.machine) if self.chains is None else self.machine
        return expected_gain(machine, mean, covariance) - self._log_z()

    def particle(self, key: Key[Array, ""], index: Int[Array, ""]) -> Drawn:
        """Particle number `index`, of the chain of this number. Carries no gradient."""
        noise = Noise(jax.random.fold_in(key, index), index)
        z = lax.stop_gradient(self.latents(lax.stop_gradient(self)._drawn(noise)))
        return Drawn(z, noise, lax.stop_gradient(self.log_prob(z)))

    def sample(self, key: Key[Array, ""]) -> Float[Array, " D"]:
        """A draw from a chain taken at random, without gradient."""
        count = 1 if self.chains is None else self.chains.shape[0]
        key_index, key_draw = jax.random.split(key)
        index = jax.random.randint(key_index, (), 0, count)
        drawn = lax.stop_gradient(self)._drawn(Noise(key_draw, index))
        return lax.stop_gradient(self.latents(drawn))

    def estimated_mean(self, key: Key[Array, ""]) -> Float[Array, " D"]:
        """The mean of each side given a draw of the other, of a chain taken at random.

        Unbiased for bits whose chains are at equilibrium, and of less noise than a draw. Of relaxed
        bits a draw, as of all.
        """
        if self.relaxation is not None:
            return self.sample(key)
        key_index, key_draw = jax.random.split(key)
        count = 1 if self.chains is None else self.chains.shape[0]
        index = jax.random.randint(key_index, (), 0, count)
        fixed = lax.stop_gradient(self)
        v, h = fixed._drawn(Noise(key_draw, index))
        visible = _in_two_rows(fixed.machine.visible_mean, h)
        return fixed.latents(Units(visible, _in_two_rows(fixed.machine.hidden_mean, v)))

    def rsample(self, key: Key[Array, ""] | Noise) -> Float[Array, " D"]:
        """The particle of this noise, with the gradient of t relaxed sweeps.

        That of the distribution of the chain, term I of Eq. 8 of Vahdat et al. 2019, is left out: a
        bias that falls with t, as the softness of the relaxation adds to it.

        Args:
            key: the noise of a particle, or a key, for a draw from the first chain.

        Raises:
            InputError: for bits, which have no such gradient.
        """
        return self.latents(self._relaxed(key))

    def smoothed(self, key: Key[Array, ""] | Noise) -> Smoothed:
        """The draw of `rsample`, its first block, the last that was drawn, at its mean.

        Raises:
            InputError: as `rsample`.
        """
        h = self._relaxed(key)[1]
        z = jnp.concatenate([_in_two_rows(self.machine.visible_mean, h), h])
        return Smoothed(z, lax.stop_gradient(self).log_prob(z))

    def matched(self, mean: Float[Array, " E"], covariance: Float[Array, "E E"]) -> Bernoulli:
        """Independent bits with these means, as `Bernoulli.matched`."""
        return Bernoulli(jnp.zeros(self.machine.num_units)).matched(mean, covariance)

    def _relaxed(self, key: Key[Array, ""] | Noise) -> Units:
        if self.relaxation is None:
            raise InputError(
                "bits of an undirected posterior have no reparameterised draw: give it a "
                "relaxation such as distributions.PiecewiseLinear(), or use rws or rem_v1"
            )
        return self._drawn(key if isinstance(key, Noise) else Noise(key, jnp.zeros((), int)))

    def _drawn(self, noise: Noise) -> Units:
        """t sweeps on from the chain."""
        key_start, key_sweeps = jax.random.split(noise.key)
        v = lax.stop_gradient(self._start(key_start, noise.index))
        h = jnp.zeros(self.machine.sizes[1], self.machine.dtype)
        for key in jax.random.split(key_sweeps, self.num_relaxed_sweeps):
            key_hidden, key_visible = jax.random.split(key)
            h = self._hidden_block(key_hidden, _in_two_rows(self.machine.hidden_field, v))
            v = self._block(key_visible, _in_two_rows(self.machine.visible_field, h))
        return Units(v, h)

    def _hidden_block(self, key: Key[Array, ""], field: Float[Array, " H"]) -> Float[Array, " H"]:
        """The second block of its natural parameters."""
        return self._block(key, field)

    def _start(self, key: Key[Array, ""], index: Int[Array, ""]) -> Float[Array, " V"]:
        """The first block of the chain of a particle, bits."""
        if self.chains is not None:
            return self.chains[index % self.chains.shape[0]].astype(self.machine.dtype)
        key_coins, key_sweeps = jax.random.split(key)
        coins = jax.random.bernoulli(key_coins, 0.5, (1, self.machine.sizes[0]))
        chain = self.advance(key_sweeps, coins, self.num_fresh_sweeps)
        return chain[0].astype(self.machine.dtype)

    def _block(self, key: Key[Array, ""], field: Float[Array, " N"]) -> Float[Array, " N"]:
        """A block of its log odds."""
        if self.relaxation is None:
            return self.machine.visible.draw(key, field)
        return self.relaxation.relax(jax.random.uniform(key, field.shape, field.dtype), field)

    def _log_z(self) -> Float[Array, ""]:
        """The mean-field lower bound, with the gradient of log Z where there are chains."""
        fixed: RBM = lax.stop_gradient(self.machine)
        if self.chains is None:
            return log_z_bound(
                fixed, jnp.full(fixed.sizes[0], 0.5, fixed.dtype), _MEAN_FIELD_SWEEPS
            )
        v = self.chains.astype(fixed.dtype)
        free = jnp.mean(self.machine.free_energy(v))
        bound = log_z_bound(fixed, jnp.mean(v, axis=0), _MEAN_FIELD_SWEEPS)
        return bound - (free - lax.stop_gradient(free))


@frozen_pytree
@dataclasses.dataclass(frozen=True)
class MarginalPosterior(UndirectedPosterior):
    """q(v) = sum_h exp(-E(v, h)) / Z: the latent is one side, the other is summed out.

    The hidden units are auxiliary variables that make q richer than independent bits (Vahdat et al.
    2019, Section 5). A particle is the visible side of a particle of `UndirectedPosterior`; its log
    density is -F(v) - log Z, with Z as unknown.
    """

    def energy(self, z: Float[Array, " V"]) -> Float[Array, ""]:
        """F(v) in nats."""
        return self.machine.free_energy(z)

    def latents(self, units: Units) -> Float[Array, "*C V"]:
        """The visible units."""
        return units.visible

    def expected_log_prob(self, mean: Float[Array, " V"], covariance: Float[Array, "V V"]) -> None:
        """None: the free energy is not linear in the bits."""

    def smoothed(self, key: Key[Array, ""] | Noise) -> Smoothed:
        """The draw itself: log q is not linear in it."""
        v = self.rsample(key)
        return Smoothed(v, lax.stop_gradient(self).log_prob(v))

    def matched(self, mean: Float[Array, " E"], covariance: Float[Array, "E E"]) -> Bernoulli:
        """Independent bits with these means, as `Bernoulli.matched`."""
        return Bernoulli(jnp.zeros(self.machine.sizes[0])).matched(mean, covariance)


def _in_two_rows(
    function: Callable[[Float[Array, "R N"]], Float[Array, "R M"]], units: Float[Array, " N"]
) -> Float[Array, " M"]:
    """A function of the rows of units, of these in one row beside a row of zeros.

    The gradient of the couplings is then a product of two rows by two rows. That of one row by one
    row is no product to the compiler: V H numbers of which each is made anew from the V + H.
    """
    return function(jnp.stack([units, jnp.zeros_like(units)]))[0]
