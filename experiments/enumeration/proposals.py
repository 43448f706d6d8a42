"""Methods whose eta learns from other particles than those of r: every tuple of both."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key, PyTree

from experiments.enumeration.cases import CATEGORIES, ONE_LAYER, TWO_LAYERS, Case, Claim, Draws
from experiments.enumeration.claims import BOUND
from experiments.enumeration.tiny_networks import (
    Assigned,
    Latents,
    TinyNetwork,
    X,
    gradient_of,
)
from remjax.distributions.base import Distribution
from remjax.methods.draws import Draws as ParticlesOf
from remjax.methods.draws import Scored
from remjax.methods.method import make_estimator
from remjax.methods.proposals import Proposal, from_defensive, from_r, from_s
from remjax.methods.rem import rem
from remjax.methods.row import Particles
from remjax.particles.covariances import Covariance, shrunk_with_mean, weighted
from remjax.types import Params

_DEFENCE = 0.2

# (network, params, the particles of r [K]) -> log s of every configuration [C].
LogProposal = Callable[[TinyNetwork, Params, Array], Float[Array, " C"]]


def cases() -> list[Case]:
    """A second set of up to three particles: from a mixture with the prior, or from s.

    `rem` with the two proposals that `rws_defensive`, `rem_v1` and `rem_v2` are made of.
    """
    defensive, matched, shrunk = (
        from_defensive(_DEFENCE), from_s(weighted()), from_s(shrunk_with_mean())
    )  # fmt: skip
    sizes = ((1, (TWO_LAYERS,)), (2, (TWO_LAYERS, CATEGORIES)), (3, (ONE_LAYER,)))
    return [
        _case(name, count, latents, theta, proposal, hyperproposal, log_proposal)
        for name, theta, proposal, hyperproposal, log_proposal in (
            ("rws_defensive", BOUND, from_r, defensive, _log_defensive),
            ("rem_v1(covariance=weighted)", BOUND, from_r, matched, _log_matched),
            ("rem_v1", BOUND, from_r, shrunk, _log_shrunk),
            ("rem_v2(covariance=weighted)", None, matched, matched, _log_matched),
        )
        for count, latents in sizes
    ]


class _AssigningDraws(ParticlesOf):
    """The E-steps of a datapoint, of which all but those of r are given their particles."""

    def __init__(self, draws: ParticlesOf, assigned: PyTree[Array]) -> None:
        self._draws, self._assigned = draws, assigned

    def __getattr__(self, name: str) -> Any:
        return getattr(self._draws, name)

    def from_r(self) -> Scored:
        """Those of r are its own."""
        return self._draws.from_r()

    def matched(self, covariance: Covariance) -> Distribution:
        """That of the particles of r."""
        return self._draws.matched(covariance)

    def draw(
        self, key: Key[Array, ""], proposal: Distribution, num_particles: int, **options: Any
    ) -> Scored:
        """That of the library; `proposal` keeps its densities."""
        return self._draws.draw(key, Assigned(proposal, self._assigned), num_particles, **options)


class Assigning:
    """A proposal whose particles are assigned; the densities are its own."""

    def __init__(self, proposal: Proposal, assigned: PyTree[Array]) -> None:
        self.powers = getattr(proposal, "powers", ())
        self._proposal, self._assigned = proposal, assigned

    def __call__(self, draws: ParticlesOf) -> Scored:
        """The E-step on the assigned particles."""
        return self._proposal(_AssigningDraws(draws, self._assigned))


def _case(
    name: str,
    num_particles: int,
    latents: tuple[Latents, ...],
    theta: Claim | None,
    proposal: Proposal,
    hyperproposal: Proposal,
    log_proposal: LogProposal,
) -> Case:
    def draws(net: TinyNetwork, params: Params) -> Draws:
        of_r, of_s = _pairs(net, num_particles)

        def on_pair(of_r: Array, of_s: Array) -> Params:
            assigned = Assigning(hyperproposal, net.at(of_s))
            shared = proposal == hyperproposal
            method = rem(assigned if shared else proposal, assigned)
            recognition = net.assigning(net.at(of_r))
            particles = Particles(num_particles)
            return gradient_of(make_estimator(net.model, recognition, method, particles), params)

        log_s = jax.vmap(lambda of_r: log_proposal(net, params, of_r))(of_r)
        return Draws(_probability(net, params, of_r, of_s, log_s), jax.vmap(on_pair)(of_r, of_s))

    def loss(net: TinyNetwork, params: Params, num_particles: int) -> Float[Array, ""]:
        """-E sum_k w_k (log p(x, z_k) + log r(z_k)), K of s and the weights those of s."""
        of_r, of_s = _pairs(net, num_particles)
        frozen = lax.stop_gradient(params)
        log_s = jax.vmap(lambda of_r: log_proposal(net, frozen, of_r))(of_r)
        probability = _probability(net, frozen, of_r, of_s, log_s)
        log_w = net.log_joint(frozen.theta) - log_s
        weights = jax.nn.softmax(jnp.take_along_axis(log_w, of_s, axis=1), axis=1)
        ascended = (net.log_joint(params.theta) + net.log_r(params.eta))[of_s]
        return -probability @ jnp.sum(weights * ascended, axis=1)

    kind = "the mixture of r and the prior" if name == "rws_defensive" else "matched s"
    text = f"with weights normalised over K particles of {kind}: a bias of order 1/K"
    theta = theta or Claim(f"EM, {text}", loss)
    return Case(name, num_particles, theta, Claim(f"KL(p, r) {text}", loss), draws, latents)


def _pairs(net: TinyNetwork, num_particles: int) -> tuple[np.ndarray, np.ndarray]:
    """Every tuple of r with every tuple of s [T, K]."""
    tuples = net.tuples(num_particles)
    first, second = np.indices((len(tuples),) * 2).reshape(2, -1)
    return tuples[first], tuples[second]


def _probability(
    net: TinyNetwork, params: Params, of_r: np.ndarray, of_s: np.ndarray, log_s: Array
) -> Float[Array, " T"]:
    """Of each pair of tuples; `log_s` [T, C] is what the particles of r make it."""
    log_s = jnp.take_along_axis(log_s, of_s, axis=1)
    return jnp.exp(jnp.sum(net.log_r(params.eta)[of_r], axis=1) + jnp.sum(log_s, axis=1))


def _log_defensive(net: TinyNetwork, params: Params, _of_r: Array) -> Float[Array, " C"]:
    log_prior = jax.vmap(lambda z: net.model.log_prior(params.theta, z))(net.configurations)
    return jnp.log(
        (1.0 - _DEFENCE) * jnp.exp(net.log_r(params.eta)) + _DEFENCE * jnp.exp(log_prior)
    )


def _log_matched(net: TinyNetwork, params: Params, of_r: Array) -> Float[Array, " C"]:
    """Independent variables with the means of the weighted particles."""
    flat = jnp.concatenate(net.configurations, axis=1)
    return _log_independent(net, _weights(net, params, of_r) @ flat[of_r])


def _log_shrunk(net: TinyNetwork, params: Params, of_r: Array) -> Float[Array, " C"]:
    """The means between those of the weighted particles and the plain ones, those of r."""
    flat, weights = jnp.concatenate(net.configurations, axis=1), _weights(net, params, of_r)
    intensity = flat.shape[1] / (1.0 / jnp.sum(jnp.square(weights)) + flat.shape[1])
    # The mean of r in closed form where there is one: else that of its particles.
    plain = net.recognition.r(params.eta, X).mean
    plain = jnp.mean(flat[of_r], axis=0) if plain is None else plain
    return _log_independent(net, (1.0 - intensity) * weights @ flat[of_r] + intensity * plain)


def _weights(net: TinyNetwork, params: Params, of_r: Array) -> Float[Array, " K"]:
    return jax.nn.softmax((net.log_joint(params.theta) - net.log_r(params.eta))[of_r])


def _log_independent(net: TinyNetwork, mean: Float[Array, " D"]) -> Float[Array, " C"]:
    """log s of every configuration: no value of a variable ever becomes impossible."""
    flat, count = jnp.concatenate(net.configurations, axis=1), net.latents.num_categories
    if count is None:
        mean = jnp.clip(mean, 0.01, 0.99)
        return jnp.sum(flat * jnp.log(mean) + (1.0 - flat) * jnp.log1p(-mean), axis=1)
    mean = jnp.maximum(mean.reshape(-1, count), 0.02 / count)
    return flat @ jnp.log(mean / jnp.sum(mean, axis=1, keepdims=True)).ravel()
