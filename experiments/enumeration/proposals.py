"""Methods whose eta learns from other particles than those of r: every tuple of both."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key

from experiments.enumeration.belief_network import Configurations, SigmoidBelief, X, gradient_of
from experiments.enumeration.cases import ONE_LAYER, TWO_LAYERS, Case, Claim, Draws
from experiments.enumeration.claims import BOUND
from remjax.distributions import Distribution, Drawn
from remjax.methods.draws import Draws as ParticlesOf
from remjax.methods.proposals import (
    Proposal,
    from_bernoulli,
    from_defensive,
    from_r,
    from_shrunk_bernoulli,
)
from remjax.methods.rem import rem
from remjax.particles.matching import weighted
from remjax.particles.posterior import Posterior
from remjax.types import Params

_DEFENCE = 0.2

# (network, params, the particles of r [K]) -> log s of every configuration [C].
LogProposal = Callable[[SigmoidBelief, Params, Array], Float[Array, " C"]]


def cases() -> list[Case]:
    """A second set of up to three particles: from a mixture with the prior, or from matched bits.

    `rem` with the two proposals that `rws_defensive`, `rem_v1_bernoulli` and `rem_v2_bernoulli` are
    made of.
    """
    defensive, bits, shrunk = from_defensive(_DEFENCE), from_bernoulli, from_shrunk_bernoulli
    name, suffix = "rem_v1_bernoulli", "(hyperproposal=from_shrunk_bernoulli)"
    return [
        _case(name, count, layers, theta, proposal, hyperproposal, log_proposal)
        for name, theta, proposal, hyperproposal, log_proposal in (
            ("rws_defensive", BOUND, from_r, defensive, _log_defensive),
            (name, BOUND, from_r, bits, _log_matched),
            (name + suffix, BOUND, from_r, shrunk, _log_shrunk),
            ("rem_v2_bernoulli", None, bits, bits, _log_matched),
        )
        for count, layers in ((1, TWO_LAYERS), (2, TWO_LAYERS), (3, ONE_LAYER))
    ]


class _Assigned(Distribution):
    """Any distribution, whose particle k is assigned to it and has its ordinary weight."""

    def __init__(self, distribution: Distribution, assigned: Configurations) -> None:
        self.distribution, self.assigned = distribution, assigned

    def rsample(self, key: Key[Array, ""]) -> Any:
        return self.distribution.rsample(key)

    def log_prob(self, z: Any) -> Float[Array, ""]:
        return self.distribution.log_prob(z)

    def particle(self, key: Key[Array, ""], index: Array) -> Drawn:
        z = jax.tree.map(lambda layer: layer[index], self.assigned)
        return Drawn(z, key, lax.stop_gradient(self.log_prob(z)))


jax.tree_util.register_pytree_node(
    _Assigned,
    lambda one: ((one.distribution, one.assigned), None),
    lambda _, parts: _Assigned(*parts),
)


class _AssignedDraws(ParticlesOf):
    """The E-steps of a datapoint; all but those of r have their particles assigned."""

    def __init__(self, draws: ParticlesOf, assigned: Configurations) -> None:
        vars(self).update(vars(draws))
        self._assigned = assigned

    def draw(
        self, key: Key[Array, ""], proposal: Distribution, num_particles: int, **options: Any
    ) -> Posterior:
        """That of the library; `proposal` keeps its densities."""
        chosen = proposal if proposal is self.recognition else _Assigned(proposal, self._assigned)
        return super().draw(key, chosen, num_particles, **options)


def _assigning(proposal: Proposal, assigned: Configurations) -> Proposal:
    return lambda draws: proposal(_AssignedDraws(draws, assigned))


def _case(
    name: str,
    num_particles: int,
    layers: tuple[int, ...],
    theta: Claim | None,
    proposal: Proposal,
    hyperproposal: Proposal,
    log_proposal: LogProposal,
) -> Case:
    def draws(net: SigmoidBelief, params: Params) -> Draws:
        of_r, of_s = _pairs(net, num_particles)

        def on_pair(of_r: Array, of_s: Array) -> Params:
            assigned = _assigning(hyperproposal, net.at(of_s))
            estimator = rem(
                net.model,
                net.assigning(net.at(of_r)),
                num_particles=num_particles,
                proposal=assigned if proposal is hyperproposal else proposal,
                hyperproposal=assigned,
                covariance=weighted(),
            )
            return gradient_of(estimator, params)

        log_s = jax.vmap(lambda of_r: log_proposal(net, params, of_r))(of_r)
        return Draws(_probability(net, params, of_r, of_s, log_s), jax.vmap(on_pair)(of_r, of_s))

    def loss(net: SigmoidBelief, params: Params, num_particles: int) -> Float[Array, ""]:
        """-E sum_k weights_k (log p(x, z_k) + log r(z_k)), K of s and the weights those of s."""
        of_r, of_s = _pairs(net, num_particles)
        frozen = lax.stop_gradient(params)
        log_s = jax.vmap(lambda of_r: log_proposal(net, frozen, of_r))(of_r)
        probability = _probability(net, frozen, of_r, of_s, log_s)
        log_w = net.log_joint(frozen.theta) - log_s
        weights = jax.nn.softmax(jnp.take_along_axis(log_w, of_s, axis=1), axis=1)
        ascended = (net.log_joint(params.theta) + net.log_r(params.eta))[of_s]
        return -probability @ jnp.sum(weights * ascended, axis=1)

    kind = "the mixture of r and the prior" if name == "rws_defensive" else "matched bits"
    text = f"with weights normalised over K particles of {kind}: a bias of order 1/K"
    theta = theta or Claim(f"EM, {text}", loss)
    return Case(name, num_particles, theta, Claim(f"KL(p, r) {text}", loss), draws, (layers,))


def _pairs(net: SigmoidBelief, num_particles: int) -> tuple[np.ndarray, np.ndarray]:
    """Every tuple of r with every tuple of s [T, K]."""
    tuples = net.tuples(num_particles)
    first, second = np.indices((len(tuples),) * 2).reshape(2, -1)
    return tuples[first], tuples[second]


def _probability(
    net: SigmoidBelief, params: Params, of_r: np.ndarray, of_s: np.ndarray, log_s: Array
) -> Float[Array, " T"]:
    """Of each pair of tuples; `log_s` [T, C] is what the particles of r make it."""
    log_s = jnp.take_along_axis(log_s, of_s, axis=1)
    return jnp.exp(jnp.sum(net.log_r(params.eta)[of_r], axis=1) + jnp.sum(log_s, axis=1))


def _log_defensive(net: SigmoidBelief, params: Params, _of_r: Array) -> Float[Array, " C"]:
    log_prior = jax.vmap(lambda z: net.model.log_prior(params.theta, z))(net.configurations)
    return jnp.log(
        (1.0 - _DEFENCE) * jnp.exp(net.log_r(params.eta)) + _DEFENCE * jnp.exp(log_prior)
    )


def _log_matched(net: SigmoidBelief, params: Params, of_r: Array) -> Float[Array, " C"]:
    """Independent bits with the means of the weighted particles."""
    bits = jnp.concatenate(net.configurations, axis=1)
    return _log_independent(net, _weights(net, params, of_r) @ bits[of_r])


def _log_shrunk(net: SigmoidBelief, params: Params, of_r: Array) -> Float[Array, " C"]:
    """Independent bits; the means between those of the weighted particles and the plain ones."""
    bits, weights = jnp.concatenate(net.configurations, axis=1), _weights(net, params, of_r)
    intensity = bits.shape[1] / (1.0 / jnp.sum(jnp.square(weights)) + bits.shape[1])
    # The mean of r in closed form where there is one: else that of its particles.
    plain = net.recognition.r(params.eta, X).mean
    plain = jnp.mean(bits[of_r], axis=0) if plain is None else plain
    return _log_independent(net, (1.0 - intensity) * weights @ bits[of_r] + intensity * plain)


def _weights(net: SigmoidBelief, params: Params, of_r: Array) -> Float[Array, " K"]:
    return jax.nn.softmax((net.log_joint(params.theta) - net.log_r(params.eta))[of_r])


def _log_independent(net: SigmoidBelief, mean: Float[Array, " D"]) -> Float[Array, " C"]:
    mean, bits = jnp.clip(mean, 0.01, 0.99), jnp.concatenate(net.configurations, axis=1)
    return jnp.sum(bits * jnp.log(mean) + (1.0 - bits) * jnp.log1p(-mean), axis=1)
