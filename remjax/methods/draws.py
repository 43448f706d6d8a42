"""The E-steps of one datapoint, each run at most once: what the proposals choose from."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key, PyTree

from remjax.distributions.base import Distribution
from remjax.distributions.layers import Unflattened
from remjax.distributions.mixtures import Balanced, Stratified
from remjax.errors import InputError
from remjax.particles.e_step import e_step
from remjax.particles.matching import (
    Covariance,
    MeanVariance,
    bernoulli_match,
    moment_match,
    shrunk_bernoulli_match,
)
from remjax.particles.posterior import Posterior
from remjax.types import Joint, Model

# Scores of r's particles that the mixture uses again: above this many, memory would grow with K, so
# they are scored a second time.
_LONGEST_RECORD = 16_384


class Joints(NamedTuple):
    """log p_theta(x, z) of one theta and x: without the gradient of theta, and with it."""

    frozen: Joint
    moving: Joint


class Draws:
    """The E-steps of ONE datapoint that the proposals choose from, each run at most once.

    Attributes:
        key: names all particles of this datapoint. What is drawn with it shares its noise with the
            particles of r; `jax.random.fold_in` a number for noise of its own.
        joint: log p_theta(x, z) and its parts, without gradient.
        recognition: r_eta(z | x), without gradient.
        num_particles: K, the particles drawn from each distribution.
        covariance: the choice of the covariance of s.
        chunk_size: particles in memory at a time.
        keep: particles that carry the gradient, or None for all.
        scored: particles that the model has scored so far, those known already not again.
    """

    def __init__(
        self,
        key: Key[Array, ""],
        model: Model,
        theta: PyTree,
        x: Float[Array, " X"],
        recognition: Distribution,
        *,
        num_particles: int,
        covariance: Covariance,
        chunk_size: int,
        keep: int | None,
    ) -> None:
        """Draw nothing yet. Consumes the key; theta keeps its gradient in `joints_of` alone."""
        self.key, self._key_s = jax.random.split(key)
        self.joint = model.joint(lax.stop_gradient(theta), x)
        self._model, self._inputs = model, (theta, x)
        self._scored_with: dict[int, tuple[Posterior, Joints]] = {}
        self.recognition = recognition
        self.num_particles = num_particles
        self.covariance = covariance
        self.chunk_size = chunk_size
        self.keep = keep
        self.scored = 0

    def draw(
        self,
        key: Key[Array, ""],
        proposal: Distribution,
        num_particles: int,
        **options: Any,
    ) -> Posterior:
        """An E-step from any proposal with this datapoint's settings and options of `e_step`."""
        known = options.get("known")
        self.scored += num_particles - (0 if known is None else known.shape[0])
        joints = self._joints()
        posterior = e_step(
            key,
            joints.frozen,
            proposal,
            num_particles,
            chunk_size=self.chunk_size,
            keep=self.keep,
            **options,
        )
        posterior = dataclasses.replace(posterior, foreign=proposal is not self.recognition)
        self._scored_with[id(posterior)] = posterior, joints
        return posterior

    def joints_of(self, posterior: Posterior) -> Joints:
        """What an E-step of `draw` scored with.

        A sum over the particles that is made of it shares the forward pass with the E-step.
        """
        known = self._scored_with.get(id(posterior))
        return self._joints() if known is None else known[1]

    def _joints(self) -> Joints:
        theta, x = self._inputs
        # Of theta and x two E-steps would make the same arrays, each as large as the logits. The
        # compiler does not fuse what is shared but writes it out; so the next has its own inputs.
        self._inputs = lax.optimization_barrier(self._inputs)
        joint = self._model.joint
        return Joints(frozen=joint(lax.stop_gradient(theta), x), moving=joint(theta, x))

    @functools.cached_property
    def r(self) -> Posterior:
        """K particles of the recognition network."""
        # Where the moments of r have no closed form: the plain ones, power 0, are the last row.
        unknown = self.recognition.mean is None or self.recognition.variance is None
        scatter = (0.0,) * unknown
        return self.draw(
            self.key,
            self.recognition,
            self.num_particles,
            powers=self.covariance.powers + scatter,
            record=self.num_particles <= _LONGEST_RECORD,
        )

    @functools.cached_property
    def matched(self) -> Distribution:
        """s(z), the Gaussian that matches the moments of the particles of r (Eqs. 16-18).

        Over all layers of a hierarchy jointly.

        Raises:
            InputError: for discrete latents, which no Gaussian matches.
        """
        if self.recognition.is_discrete:
            raise InputError(
                "s(z) is a Gaussian and the latents are bits: use rem_v1_bernoulli or "
                "rem_v2_bernoulli, or from_bernoulli in a method of your own"
            )
        mean, variance, moments = self.recognition.mean, self.recognition.variance, self.r.moments
        if mean is None or variance is None:
            mean, variance = moments.mean[-1], jnp.diagonal(moments.covariance[-1])
        law = moment_match(
            moments, MeanVariance(mean, variance), self.num_particles, self.covariance
        )
        return self._in_shape(law)

    def matched_bits(self, *, shrunk: bool) -> Distribution:
        """s(z) of binary latents: independent bits whose means match the particles of r.

        Over all layers of a hierarchy jointly.

        Args:
            shrunk: the means toward those of r, as `shrunk_bernoulli_match` has it.

        Raises:
            InputError: for latents that are not discrete.
        """
        if not self.recognition.is_discrete:
            raise InputError("from_bernoulli matches bits and the latents are real: use from_s")
        if not shrunk:
            return self._in_shape(bernoulli_match(self.r.moments))
        moments, plain = self.r.moments, self.recognition.mean
        # As for the scatter: the plain mean, power 0, is the last row.
        plain = moments.mean[-1] if plain is None else plain
        return self._in_shape(shrunk_bernoulli_match(moments, plain))

    def _in_shape(self, law: Distribution) -> Distribution:
        """A law of the flattened latent, in the shape of the latent."""
        latent = jax.eval_shape(self.recognition.sample, self.key)
        if isinstance(latent, jax.ShapeDtypeStruct):
            return law
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), latent)
        return Unflattened(law, ravel_pytree(zeros)[1])

    @functools.cached_property
    def s_bits(self) -> Posterior:
        """K particles of the independent bits, independent of those that they were matched to."""
        return self.draw(self._key_s, self.matched_bits(shrunk=False), self.num_particles)

    @functools.cached_property
    def s_shrunk_bits(self) -> Posterior:
        """As `s_bits`, whose means stay nearer to those of r."""
        return self.draw(self._key_s, self.matched_bits(shrunk=True), self.num_particles)

    @functools.cached_property
    def s(self) -> Posterior:
        """K particles of s, independent of those that it was matched to."""
        return self.draw(self._key_s, self.matched, self.num_particles)

    @functools.cached_property
    def mixture(self) -> Posterior:
        """The K particles of r and K of s, weighted together by the balance heuristic."""
        return self._with_r(Balanced(self.recognition, self.matched))

    @functools.cached_property
    def pooled(self) -> Posterior:
        """The K particles of r, and K of the even mixture of r and s, each properly weighted."""
        return self._with_r(Stratified(self.recognition, Balanced(self.recognition, self.matched)))

    def _with_r(self, proposal: Stratified) -> Posterior:
        # The even particles are those of r, scored already.
        return self.draw(self.key, proposal, 2 * self.num_particles, known=self.r.log_joints)
