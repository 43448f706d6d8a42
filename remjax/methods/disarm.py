"""DisARM (Dong, Mnih & Tucker 2020): antithetic pairs of bits, for binary latents.

A bit is one where a uniform number u lies below its probability. Its antithetic partner is made of
1 - u: a draw of the same distribution, and as different from the first as can be. What the two
differ by in log p - log r teaches the bits in which they differ.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from remjax.distributions.base import Distribution, Drawn
from remjax.distributions.bernoulli import Bernoulli
from remjax.distributions.layers import Groups, Layers
from remjax.errors import InputError
from remjax.methods.combine import Combine, equal_shares, over_groups
from remjax.methods.draws import Draws, Scored
from remjax.methods.method import Method
from remjax.methods.objectives import evidence_lower_bound
from remjax.methods.row import Particles, Row, check_serves
from remjax.methods.sums import Objective, Summand
from remjax.particles.posterior import Particle, Posterior
from remjax.types import Batch, Estimate, Joint, Params


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Antithetic(Distribution):
    """Bits whose particles 2j and 2j + 1 are an antithetic pair in one of the layers.

    Each particle is a draw of r; those of a pair depend on each other.

    Attributes:
        r: `Bernoulli`, or `Layers` of them.
        layer: which layer the pairs are of, in the order of drawing.
    """

    r: Distribution
    layer: int = dataclasses.field(metadata={"static": True})

    @property
    def is_discrete(self) -> bool:
        """They are bits."""
        return True

    def rsample(self, key: Key[Array, ""]) -> PyTree[Array]:
        """Refused, as by `Bernoulli`."""
        return self.r.rsample(key)

    def sample(self, key: Key[Array, ""]) -> PyTree[Array]:
        """A draw of r, without any gradient."""
        return self.r.sample(key)

    def log_prob(self, z: PyTree[Array]) -> Float[Array, ""]:
        """That of r, nats."""
        return self.r.log_prob(z)

    def particle(self, key: Key[Array, ""], index: Int[Array, ""]) -> Drawn:
        """Particle `index` of the stream: one of a pair. Its noise is the key of the pair."""
        pair, member = jax.random.fold_in(key, index // 2), index % 2
        chain = _as_layers(self.r)
        layers: list[Array] = []
        for place in range(len(chain.conditionals) + 1):
            own = chain.first if place == 0 else chain.conditionals[place - 1](tuple(layers))
            name = jax.random.fold_in(pair, place)
            if place == self.layer:
                heads = _pair_of_bits(name, _bits(own))
                layers.append(jnp.where(member == 0, *heads).astype(_bits(own).logits.dtype))
            else:
                # Below the pair's layer both have the same; above, each draws its own.
                key_own = jax.random.fold_in(name, member)
                layers.append(own.sample(name if place < self.layer else key_own))
        z = chain.latent(chain.in_order(layers))
        return Drawn(lax.stop_gradient(z), pair, lax.stop_gradient(self.log_prob(z)))

    def differing(
        self, key: Key[Array, ""], z: PyTree[Array], r: Distribution
    ) -> tuple[Bernoulli, Array, Bool[Array, " D"]]:
        """Of a particle: the pair's layer of r, its value, and where the partner differs.

        Args:
            key: the noise of the particle.
            z: the particle.
            r: as `self.r`; its gradient reaches the bits that are returned.
        """
        chain = _as_layers(r)
        layers = chain.in_order(chain.layers(z))
        bits = _bits(chain.in_order(chain.layer_distributions(z))[self.layer])
        one, other = _pair_of_bits(jax.random.fold_in(key, self.layer), lax.stop_gradient(bits))
        return bits, layers[self.layer], one != other


def _pair_of_bits(
    key: Key[Array, ""], bits: Bernoulli
) -> tuple[Bool[Array, " D"], Bool[Array, " D"]]:
    u = bits.uniforms(key)
    return u < bits.mean, 1.0 - u < bits.mean


def _as_layers(r: Distribution) -> Layers:
    return r if isinstance(r, Layers) else Groups(r, ())


def _bits(layer: Distribution) -> Bernoulli:
    if not isinstance(layer, Bernoulli):
        raise InputError(
            f"disarm is for bits and a layer of r is {type(layer).__name__}: use rloo or vimco"
        )
    return layer


@dataclasses.dataclass(frozen=True)
class FromAntithetic:
    """Proposal: K particles of r, in antithetic pairs of one of its layers.

    Attributes:
        layer: in the order of drawing.
    """

    layer: int = 0

    def __call__(self, draws: Draws) -> Scored:
        """The pairs."""
        return draws.draw(draws.key, Antithetic(draws.r, self.layer), draws.num_particles)

    def __str__(self) -> str:
        """As the tables have it."""
        return "r in pairs"


@dataclasses.dataclass(frozen=True)
class AntitheticDifference(Objective):
    """1/K sum_k log w_k sum_i (z_ki - z'_ki) sigmoid(|phi_i|) phi_i(eta), phi the log odds.

    Particle k and its partner enter with opposite signs, so each pair gives the difference of its
    log-weights. The particles must come from `Antithetic`.
    """

    def __call__(self, posterior: Posterior, _joint: Joint, r: Distribution) -> Summand:
        """The summand of one particle."""
        pairs = posterior.proposal
        if not isinstance(pairs, Antithetic):
            raise InputError(
                "antithetic_difference needs pairs: draw the particles from Antithetic"
            )

        def summand(particle: Particle) -> Float[Array, ""]:
            bits, z, differs = pairs.differing(particle.noise, particle.z, r)
            phi = lax.stop_gradient(bits.logits)
            slope = jnp.where(differs, (2.0 * z - 1.0) * jax.nn.sigmoid(jnp.abs(phi)), 0.0)
            # A constant changes no difference, and one near log w keeps its digits.
            signal = particle.log_w - posterior.log_evidence
            return signal * jnp.sum(slope * bits.logits) / particle.num_particles

        return summand

    def __str__(self) -> str:
        """As a formula."""
        return "1/K log w (z - z') sigmoid(abs phi) phi"


@dataclasses.dataclass(frozen=True)
class EachLayer(Combine):
    """The sum over the layers of r, each with K particles in pairs of its own."""

    def check(self, particles: Particles) -> None:
        """Raise InputError for an odd number of particles."""
        count = particles.num_particles
        if count % 2:
            raise InputError(f"disarm draws pairs: num_particles={count} must be even")

    def estimate(
        self, row: Row, params: Params, state: Any, key: Key[Array, ""], batch: Batch
    ) -> tuple[Estimate, Any]:
        """The losses; theta's on the particles of all layers. No state."""
        num_layers = _count_layers(row, params, batch)
        keys = jax.random.split(key, num_layers)
        layers = []
        for layer, key_layer in enumerate(keys):
            pairs = FromAntithetic(layer)
            choices = dataclasses.replace(row.method, proposal=pairs, hyperproposal=pairs)
            layers.append(row._replace(method=choices)(params, key_layer, batch))
        # Memory and statistics are those of the first layer's pass.
        theta, eta, metrics = jax.tree.map(
            lambda *leaves: jnp.stack(leaves), *(layer[:3] for layer in layers)
        )
        # Each layer's gradient is whole: their sum, where groups would have the mean.
        terms = layers[0]._replace(theta=theta, eta=num_layers * eta, metrics=metrics)
        return over_groups(terms, equal_shares, equal_shares), state

    def __str__(self) -> str:
        """As the tables have it."""
        return "sum over the layers"


def _count_layers(row: Row, params: Params, batch: Batch) -> int:
    """The layers of r, each of bits, by abstract evaluation: nothing is computed."""

    def logits() -> tuple[Array, ...]:
        x, memory = jax.tree.map(lambda leaf: leaf[0], (batch.x, batch.memory))
        r = row.recognition.r(params.eta, x)
        r = r.at(memory) if jax.tree.leaves(memory) else r
        check_serves(r, row.method)  # before a layer is said to be of another kind than bits
        z = r.sample(jax.random.key(0))
        layers = _as_layers(r).layer_distributions(z)
        return tuple(_bits(layer).logits for layer in layers)

    return len(jax.eval_shape(logits))


disarm = Method(
    evidence_lower_bound, FromAntithetic(), AntitheticDifference(), FromAntithetic(), EachLayer()
)
"""DisARM of the evidence lower bound, layer by layer (Dong, Mnih & Tucker 2020, Eq. 8).

For an antithetic pair z, z' of a layer with log odds phi, bit i of phi follows
1/2 (log w(z) - log w(z')) (z_i - z'_i) sigmoid(|phi_i|): unbiased, zero where the bits agree. In a
hierarchy each layer has pairs of its own: the layers below are common to the pair, those above are
drawn for each. theta ascends the lower bound on all particles, each of which is a draw of r. It
takes an r of independent bits (`Bernoulli`), or layers of them (`Layers`), and an even K for each
layer: a hierarchy of L layers scores L K.
"""
