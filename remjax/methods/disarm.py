"""DisARM (Dong, Mnih & Tucker 2020): antithetic pairs of bits, for binary latents.

A bit is one where a uniform number u lies below its probability. Its antithetic partner is made of
1 - u: a draw of the same law, and as different from the first as can be. What the two differ by in
log p - log r teaches the bits in which they differ.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from remjax.distributions.base import Distribution, Drawn
from remjax.distributions.bernoulli import Bernoulli
from remjax.distributions.layers import Layers
from remjax.errors import InputError
from remjax.methods.composition import Choices, init_params, terms_of_batch
from remjax.methods.draws import Draws
from remjax.methods.groups import equal_shares, over_groups
from remjax.methods.objectives import Ascent, evidence_lower_bound
from remjax.particles.posterior import Particle, Posterior
from remjax.types import Batch, Estimate, Estimator, Joint, Model, Params, Recognition


def disarm(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    chunk_size: int | None = None,
) -> Estimator:
    """DisARM of the evidence lower bound, layer by layer (Dong, Mnih & Tucker 2020, Eq. 8).

    For an antithetic pair z, z' of a layer with log odds phi, bit i of phi follows
    1/2 (log w(z) - log w(z')) (z_i - z'_i) sigmoid(|phi_i|): unbiased, zero where the bits agree.
    In a hierarchy each layer has pairs of its own: the layers below are common to the pair, those
    above are drawn for each. theta ascends the lower bound on all particles, each of which is a
    draw of r.

    Args:
        model: p_theta(x, z).
        recognition: r_eta(z | x), independent bits (`Bernoulli`), or layers of them (`Layers`).
        num_particles: K for each layer, an even number: a hierarchy of L layers scores L K.
        chunk_size: particles per datapoint in memory at a time.

    Raises:
        InputError: for an odd number of particles, or latents that are not bits.
    """
    if num_particles % 2:
        raise InputError(f"disarm draws pairs: num_particles={num_particles} must be even")
    num_layers = _count_layers(model, recognition)

    def choices(layer: int) -> Choices:
        def proposal(draws: Draws) -> Posterior:
            law = Antithetic(draws.recognition, layer)
            return draws.draw(draws.key, law, draws.num_particles)

        return Choices(
            num_particles=num_particles,
            objective=evidence_lower_bound,
            proposal=proposal,
            hyperobjective=antithetic_difference,
            hyperproposal=proposal,
            chunk_size=chunk_size,
        )

    per_layer = [choices(layer) for layer in range(num_layers)]

    def init(key: Key[Array, ""]) -> tuple[Params, tuple[()]]:
        return init_params(model, recognition, key), ()

    def estimate(
        params: Params, state: tuple[()], key: Key[Array, ""], batch: Batch
    ) -> tuple[Estimate, tuple[()]]:
        keys = jax.random.split(key, num_layers)
        layers = [
            terms_of_batch(model, recognition, chosen, params, key, batch)
            for chosen, key in zip(per_layer, keys, strict=True)
        ]
        terms = jax.tree.map(lambda *leaves: jnp.stack(leaves), *layers)
        # Each layer's gradient is whole: their sum, where groups would have the mean.
        terms = terms._replace(eta=num_layers * terms.eta)
        return over_groups(terms, equal_shares, equal_shares), state

    return Estimator(init, estimate)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Antithetic(Distribution):
    """A law over bits whose particles 2j and 2j + 1 are an antithetic pair in one of its layers.

    Each particle is a draw of the law; those of a pair depend on each other.

    Attributes:
        law: `Bernoulli`, or a `Layers` of them.
        layer: which layer the pairs are of, in the order of drawing.
    """

    law: Distribution
    layer: int = dataclasses.field(metadata={"static": True})

    @property
    def is_discrete(self) -> bool:
        """They are bits."""
        return True

    def rsample(self, key: Key[Array, ""]) -> PyTree[Array]:
        """Refused, as by `Bernoulli`."""
        return self.law.rsample(key)

    def sample(self, key: Key[Array, ""]) -> PyTree[Array]:
        """A draw of the law, without any gradient."""
        return self.law.sample(key)

    def log_prob(self, z: PyTree[Array]) -> Float[Array, ""]:
        """That of the law, nats."""
        return self.law.log_prob(z)

    def particle(self, key: Key[Array, ""], index: Int[Array, ""]) -> Drawn:
        """Particle `index` of the stream: one of a pair. Its key is that of the pair."""
        pair, member = jax.random.fold_in(key, index // 2), index % 2
        chain = _as_chain(self.law)
        layers: list[Array] = []
        for place in range(len(chain.conditionals) + 1):
            law = chain.first if place == 0 else chain.conditionals[place - 1](layers[-1])
            name = jax.random.fold_in(pair, place)
            if place == self.layer:
                heads = _pair_of_bits(name, _bits(law))
                layers.append(jnp.where(member == 0, *heads).astype(_bits(law).logits.dtype))
            else:
                # Below the pair's layer both have the same; above, each draws its own.
                own = jax.random.fold_in(name, member)
                layers.append(law.sample(name if place < self.layer else own))
        z = tuple(reversed(layers)) if chain.top_down else tuple(layers)
        z = z if isinstance(self.law, Layers) else z[0]
        return Drawn(lax.stop_gradient(z), pair, lax.stop_gradient(self.log_prob(z)))

    def differing(
        self, key: Key[Array, ""], z: PyTree[Array], law: Distribution
    ) -> tuple[Bernoulli, Array, Bool[Array, " D"]]:
        """Of a particle: the law of the pair's layer, the layer, and where the partner differs.

        Args:
            key: of the particle.
            z: the particle.
            law: as `self.law`; its gradient reaches the law that is returned.
        """
        chain = _as_chain(law)
        layers = z if isinstance(law, Layers) else (z,)
        at = len(layers) - 1 - self.layer if chain.top_down else self.layer
        bits = _bits(chain.layer_laws(layers)[at])
        one, other = _pair_of_bits(jax.random.fold_in(key, self.layer), lax.stop_gradient(bits))
        return bits, layers[at], one != other


def antithetic_difference(posterior: Posterior, _joint: Joint, r: Distribution) -> Ascent:
    """1/K sum_k log w_k sum_i (z_ki - z'_ki) sigmoid(|phi_i|) phi_i(eta), phi the log odds.

    Particle k and its partner enter with opposite signs, so each pair gives the difference of its
    log-weights. The particles must come from `Antithetic`.
    """
    pairs = posterior.proposal
    if not isinstance(pairs, Antithetic):
        raise InputError("antithetic_difference needs pairs: draw the particles from Antithetic")

    def summand(particle: Particle) -> Float[Array, ""]:
        bits, z, differs = pairs.differing(particle.key, particle.z, r)
        phi = lax.stop_gradient(bits.logits)
        slope = jnp.where(differs, (2.0 * z - 1.0) * jax.nn.sigmoid(jnp.abs(phi)), 0.0)
        # A constant changes no difference, and one near log w keeps its digits.
        signal = particle.log_w - posterior.log_evidence
        return signal * jnp.sum(slope * bits.logits) / particle.num_particles

    return summand


def _pair_of_bits(
    key: Key[Array, ""], bits: Bernoulli
) -> tuple[Bool[Array, " D"], Bool[Array, " D"]]:
    u = bits.uniforms(key)
    return u < bits.mean, 1.0 - u < bits.mean


def _as_chain(law: Distribution) -> Layers:
    return law if isinstance(law, Layers) else Layers(law, ())


def _bits(law: Distribution) -> Bernoulli:
    if not isinstance(law, Bernoulli):
        raise InputError(
            f"disarm is for bits and a layer of r is {type(law).__name__}: use rloo or vimco"
        )
    return law


def _count_layers(model: Model, recognition: Recognition) -> int:
    """The layers of r, each of bits, by abstract evaluation: nothing is computed."""

    def logits() -> tuple[Array, ...]:
        key = jax.random.key(0)
        z, x = model.sample(model.init(key), key)
        law = recognition.distribution(recognition.init(key), x)
        laws = _as_chain(law).layer_laws(z if isinstance(law, Layers) else (z,))
        return tuple(_bits(law).logits for law in laws)

    return len(jax.eval_shape(logits))
