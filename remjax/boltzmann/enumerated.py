"""A machine with a side so small that its states are summed over: normalised, and drawn exactly.

As a factor of a directed posterior, q(z | x) = prod_g q_g(z_g | z_<g, x), it makes the factors RBMs
(the outlook of Vahdat et al. 2019, Section 5). Chains would not do there. The parameters of q_g
depend on the bits before it, which are others at every visit and for every particle, so that no
chain is near its equilibrium; and log Z_g(z_<g) is no constant of the datapoint, which normalised
weights could do without, but a part of each weight. Both are finite sums here, and nothing is left
to a chain: log q is normalised, and every method that takes bits takes these.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key

from remjax.boltzmann.families import Bits
from remjax.boltzmann.machine import check_width
from remjax.boltzmann.normalized import expected_gain, split
from remjax.boltzmann.pytrees import frozen_pytree
from remjax.boltzmann.rbm import RBM
from remjax.distributions.base import Distribution, Smoothed
from remjax.distributions.bernoulli import Bernoulli
from remjax.distributions.relaxations import Relaxation
from remjax.errors import InputError

# Units of the smaller side: a draw of n of them sums over 2^(n + 1) states, log q over 2^n.
MOST_ENUMERATED = 12


@frozen_pytree
@dataclasses.dataclass(frozen=True)
class EnumeratedMachine(Distribution):
    """q(z) = exp(-E(z)) / Z of z = (visible, hidden) in one vector [V + H], Z by summation.

    A draw goes through the smaller side (the visible one of two equal) bit by bit, each given those
    before it, with log odds that are sums over all states of those after it; the other side given
    all of them is one product. So the bits are exact, independent draws. Relaxed ones carry the
    gradient of the parameters through every one of these conditionals: what they leave out is what
    the relaxation does, and nothing else. As in `distributions.Groups` a bit depends on relaxed
    ones, so that their distribution tends to q as the relaxation gets sharper.

    min(V, H) is 12 at most; time and memory of each particle are those of 2^min(V, H) max(V, H)
    numbers.

    Attributes:
        machine: of bits.
        relaxation: makes a number of a uniform number and the log odds of a bit; None for bits.
            Static.
    """

    machine: RBM
    relaxation: Relaxation | None = dataclasses.field(default=None, metadata={"static": True})

    def __post_init__(self) -> None:
        """Refuse what cannot be summed over.

        Raises:
            InputError: for real units, or two sides of more than 12.
        """
        if not all(isinstance(family, Bits) for family in self.machine.families):
            raise InputError(
                "an enumerated machine is of bits, and this one has real units: use "
                "HarmoniumPosterior"
            )
        if min(self.machine.sizes) > MOST_ENUMERATED:
            raise InputError(
                f"an enumerated machine has a side of {MOST_ENUMERATED} bits at most, and this one "
                f"has {' and '.join(map(str, self.machine.sizes))}: use UndirectedPosterior, or "
                "more groups"
            )

    @property
    def is_discrete(self) -> bool:
        """Whether the particles are bits."""
        return self.relaxation is None

    @property
    def is_relaxed(self) -> bool:
        """Whether numbers stand in the place of bits."""
        return self.relaxation is not None

    @property
    def mean(self) -> Float[Array, " D"] | None:
        """E[z] of bits, exactly; None for relaxed ones."""
        return None if self.relaxation is not None else self._moments()[0]

    @property
    def variance(self) -> Float[Array, " D"] | None:
        """mean (1 - mean) of bits; None for relaxed ones."""
        mean = self.mean
        return None if mean is None else mean * (1.0 - mean)

    def hard(self) -> "EnumeratedMachine":
        """The same machine, its draws bits."""
        return dataclasses.replace(self, relaxation=None)

    def sample(self, key: Key[Array, ""]) -> Float[Array, " D"]:
        """A draw, bits or relaxed ones, without gradient."""
        return lax.stop_gradient(lax.stop_gradient(self).made_of(self._uniforms(key)))

    def rsample(self, key: Key[Array, ""]) -> Float[Array, " D"]:
        """Relaxed bits with the gradient of the machine.

        Raises:
            InputError: for bits, which have no such gradient.
        """
        self._check_relaxed()
        return self.made_of(self._uniforms(key))

    def made_of(self, uniforms: Float[Array, " D"]) -> Float[Array, " D"]:
        """The draw that uniform numbers of [0, 1) make, one of each unit; 1 makes a bit 0.

        The gradient reaches the machine where there is a relaxation.
        """
        small, field = self._drawn(uniforms)
        return self._joined(small, self._bit(self._parts(uniforms)[1], field))

    def smoothed(self, key: Key[Array, ""]) -> Smoothed:
        """The draw of `rsample`, the side that was drawn last at its mean given the other.

        Raises:
            InputError: as `rsample`.
        """
        self._check_relaxed()
        small, field = self._drawn(self._uniforms(key))
        z = self._joined(small, jax.nn.sigmoid(field))
        return Smoothed(z, lax.stop_gradient(self).log_prob(z))

    def log_prob(self, z: Float[Array, " D"]) -> Float[Array, ""]:
        """-E(z) - log Z, nats, normalised over bits. Gradients reach z and the machine.

        At relaxed bits the energy goes on linearly in each, and log Z stays that of bits.
        """
        return -self.machine.energy(split(self.machine, z)) - self._log_z()

    def expected_log_prob(
        self, mean: Float[Array, " D"], covariance: Float[Array, "D D"]
    ) -> Float[Array, ""]:
        """E[log_prob(z)]: the energy is linear in each bit, so the moments determine it."""
        return expected_gain(self.machine, mean, covariance) - self._log_z()

    def kl_divergence(self, other: Distribution) -> Float[Array, ""] | None:
        """KL of the bits from another distribution of bits, nats, where moments determine it.

        They do for independent bits and for a machine. Gradients reach both.
        """
        if not other.is_discrete:
            return None
        moments = self._moments()
        expected = other.expected_log_prob(*moments)
        return None if expected is None else self.expected_log_prob(*moments) - expected

    def matched(self, mean: Float[Array, " E"], covariance: Float[Array, "E E"]) -> Bernoulli:
        """Independent bits with these means, as `Bernoulli.matched`."""
        return Bernoulli(jnp.zeros(self.machine.num_units)).matched(mean, covariance)

    @property
    def _is_turned(self) -> bool:
        """Whether the hidden side is the smaller one."""
        return self.machine.sizes[0] > self.machine.sizes[1]

    @property
    def _turned(self) -> RBM:
        """The machine with the smaller side as the visible one."""
        return self.machine.transposed if self._is_turned else self.machine

    def _joined(
        self, small: Float[Array, "*C S"], large: Float[Array, "*C L"]
    ) -> Float[Array, "*C D"]:
        """Both sides in one vector, in the order of the machine."""
        sides = (large, small) if self._is_turned else (small, large)
        return jnp.concatenate(sides, axis=-1)

    def _parts(self, z: Float[Array, " D"]) -> tuple[Float[Array, " S"], Float[Array, " L"]]:
        """The inverse of `_joined`."""
        check_width("uniform numbers", z.shape, self.machine.num_units)
        visible, hidden = split(self.machine, z)
        return (hidden, visible) if self._is_turned else (visible, hidden)

    def _drawn(self, uniforms: Float[Array, " D"]) -> tuple[Float[Array, " S"], Float[Array, " L"]]:
        """The smaller side, and the log odds of the other given it."""
        machine = self._turned
        # The weight of each number that the bits so far write: one of them, where they are bits.
        prefixes = jnp.zeros(2 ** (machine.sizes[0] - 1), machine.dtype).at[0].set(1.0)

        def draw(
            prefixes: Float[Array, " P"], given: tuple[Float[Array, ""], Float[Array, " P"]]
        ) -> tuple[Float[Array, " P"], Float[Array, ""]]:
            uniform, log_odds = given
            bit = self._bit(uniform, prefixes @ log_odds)
            written = jnp.stack([prefixes * (1.0 - bit), prefixes * bit], axis=1)
            return written.ravel()[: len(prefixes)], bit

        small = lax.scan(draw, prefixes, (self._parts(uniforms)[0], self._log_odds()))[1]
        return small, machine.hidden_field(small)

    def _log_odds(self) -> Float[Array, "S P"]:
        """Of each bit of the smaller side given those before it, the ones after it summed out.

        Those of bit i are the first 2^i, in the order of the numbers that the bits before it write.
        """
        machine = self._turned

        def sum_out(
            log_sums: Float[Array, " C"], _: None
        ) -> tuple[Float[Array, " C"], Float[Array, " P"]]:
            zero, one = log_sums.reshape(-1, 2).T
            log_odds = one - zero
            summed = jnp.maximum(zero, one) + jnp.log1p(jnp.exp(-jnp.abs(log_odds)))
            # Of one length throughout, so that the loop is compiled once.
            return jnp.concatenate([summed, summed]), log_odds

        log_sums = -machine.free_energy(_states(machine.sizes[0]))
        return lax.scan(sum_out, log_sums, None, machine.sizes[0])[1][::-1]

    def _log_z(self) -> Float[Array, ""]:
        """By all states of the smaller side."""
        machine = self._turned
        return jax.nn.logsumexp(-machine.free_energy(_states(machine.sizes[0])))

    def _bit(
        self, uniform: Float[Array, "*shape"], logits: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        if self.relaxation is None:
            return (uniform < jax.nn.sigmoid(logits)).astype(logits.dtype)
        return self.relaxation.relax(uniform, logits)

    def _moments(self) -> tuple[Float[Array, " D"], Float[Array, "D D"]]:
        """The mean and the covariance of the bits."""
        machine = self._turned
        states = jnp.asarray(_states(machine.sizes[0]), machine.dtype)
        share = jax.nn.softmax(-machine.free_energy(states))
        given = machine.hidden_mean(states)
        each = self._joined(states, given)
        within = self._joined(jnp.zeros_like(states), given * (1.0 - given))
        mean = share @ each
        away = each - mean
        covariance = jnp.einsum("s,si,sj->ij", share, away, away) + jnp.diag(share @ within)
        return mean, covariance

    def _uniforms(self, key: Key[Array, ""]) -> Float[Array, " D"]:
        return jax.random.uniform(key, (self.machine.num_units,), self.machine.dtype)

    def _check_relaxed(self) -> None:
        if self.relaxation is None:
            raise InputError(
                "bits of a machine have no reparameterised draw: give it a relaxation such as "
                "distributions.PiecewiseLinear(), or use a method that needs none, such as rws"
            )


def _states(size: int) -> Float[np.ndarray, "C N"]:
    """All states of so many bits, in the order of the numbers that they write."""
    codes = np.arange(2**size)[:, None]
    return ((codes >> np.arange(size)[::-1]) & 1).astype(np.float32)
