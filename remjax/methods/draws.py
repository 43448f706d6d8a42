"""The E-steps of one datapoint, each run at most once: what the proposals choose from."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import lax
from jaxtyping import Array, Float, Key, PyTree

from remjax.distributions.base import Distribution
from remjax.distributions.layers import flat_form
from remjax.distributions.mixtures import Stratified
from remjax.errors import InputError
from remjax.particles.covariances import Covariance, MeanVariance
from remjax.particles.curvature import Curvature, curvature, passes
from remjax.particles.e_step import LogJoint, e_step
from remjax.particles.matching import match, own_moments
from remjax.particles.posterior import Posterior
from remjax.types import Datapoint, Joint, Model

# Up to so many particles of r the scores are recorded, for a mixture to use again. Of more, they
# would be the one thing in memory that grows with K, and the particles are scored a second time.
_LONGEST_RECORD = 16_384
# Names the points at which the curvature of the posterior is looked at, which no particle has.
_CURVATURE = 2**32 - 2


class Scored(NamedTuple):
    """An E-step, and the joint density that it scored with.

    A sum over its particles that is made of the same density shares the forward pass with it.

    Attributes:
        posterior: the E-step.
        scoring: the density that it scored with; particles that are drawn again are scored by it.
        frozen: log p_theta(x, z) without the gradient of theta, for what eta ascends.
        moving: the same with it, for what theta ascends.
    """

    posterior: Posterior
    scoring: LogJoint
    frozen: Joint
    moving: Joint


class Draws:
    """The E-steps of ONE datapoint that the proposals choose from, each run at most once.

    Attributes:
        key: names all particles of this datapoint. What is drawn with it shares its noise with the
            particles of r; `jax.random.fold_in` a number for noise of its own.
        key_s: names the particles of s.
        joint: log p_theta(x, z) and its parts, without gradient.
        r: r_eta(z | x), without gradient.
        num_particles: K, the particles drawn from each distribution.
        num_scored: particles that the model has scored so far, those known already not again.
    """

    def __init__(
        self,
        key: Key[Array, ""],
        model: Model,
        theta: PyTree,
        x: Datapoint,
        r: Distribution,
        *,
        num_particles: int,
        chunk_size: int,
        keep: int | None,
        powers: tuple[float, ...] = (),
        matched_powers: tuple[float, ...] = (),
        kl_weight: Float[Array, ""] | float = 1.0,
    ) -> None:
        """Draw nothing yet. Consumes the key; theta keeps its gradient in `Scored.moving` alone.

        Args:
            key: of the datapoint.
            model: p_theta(x, z).
            theta: its parameters.
            x: the datapoint.
            r: r_eta(z | x), without gradient.
            num_particles: K.
            chunk_size: particles in memory at a time.
            keep: particles that carry the gradient, or None for all.
            powers: of the weights, besides 1, that every E-step streams: what objectives read.
            matched_powers: that the E-step of r streams besides: what s is matched to.
            kl_weight: the power of p(z) / r(z) in the weights (`types.Joint`).
        """
        self.key, self.key_s = jax.random.split(key)
        self._model, self._inputs, self._kl_weight = model, (theta, x), kl_weight
        self.joint = self._joint(lax.stop_gradient(theta), x)
        self.r = r
        self.num_particles = num_particles
        self.num_scored = 0
        self._options = {"chunk_size": chunk_size, "keep": keep}
        self._powers = _in_order(1.0, *powers)
        # Where the moments of r have no closed form: the plain ones, power 0, stand for them.
        unknown = r.mean is None or r.variance is None
        plain = (0.0,) * (unknown and bool(matched_powers))
        self._powers_of_r = _in_order(*self._powers, *matched_powers, *plain)
        self._of_r: Scored | None = None
        self._of_proposals: dict[Callable, Scored] = {}
        self._matched: dict[Covariance, Distribution] = {}
        self._curved: dict[int, Curvature] = {}

    def of(self, proposal: Callable[["Draws"], Scored]) -> Scored:
        """The E-step of a proposal; equal proposals have the same."""
        if proposal not in self._of_proposals:
            scored = proposal(self)
            if not isinstance(scored, Scored):
                name = getattr(proposal, "__name__", repr(proposal))
                raise InputError(
                    f"the proposal {name} returns a {type(scored).__name__} and no E-step: call "
                    f"it, as {name}(), or return what draws.draw returns"
                )
            self._of_proposals[proposal] = scored
        return self._of_proposals[proposal]

    def draw(
        self,
        key: Key[Array, ""],
        proposal: Distribution,
        num_particles: int,
        scoring: Callable[[Joint], LogJoint] = lambda joint: joint,
        **options: Any,
    ) -> Scored:
        """An E-step from any distribution, with these settings and options of `e_step`.

        Args:
            key: names the particles.
            proposal: what they are drawn from.
            num_particles: how many.
            scoring: log p(x, .) and its parts -> what scores the particles, where that is not
                log p(x, z) itself: a tempered likelihood, say. The objectives see log p(x, z).
                While a warm-up lasts it is given the target of the weights (`types.Joint.target`).
            options: of `e_step`.
        """
        known = options.get("known")
        self.num_scored += num_particles - (0 if known is None else known.shape[0])
        theta, x = self._inputs
        # Two E-steps with the same theta and x have intermediate arrays in common, as large as the
        # logits, which the compiler then writes out and does not fuse. So each has its own inputs.
        self._inputs = lax.optimization_barrier(self._inputs)
        frozen = self._joint(lax.stop_gradient(theta), x)
        options = {"powers": self._powers, **self._options, **options}
        score = scoring(frozen.target(self.r))
        posterior = e_step(key, score, proposal, num_particles, **options)
        posterior = dataclasses.replace(
            posterior, foreign=proposal is not self.r, kl_weight=self._kl_weight
        )
        return Scored(posterior, score, frozen, self._joint(theta, x))

    def _joint(self, theta: PyTree, x: Datapoint) -> Joint:
        return self._model.joint(theta, x)._replace(kl_weight=self._kl_weight)

    def from_r(self) -> Scored:
        """K particles of the recognition network."""
        if self._of_r is None:
            self._of_r = self.draw(
                self.key,
                self.r,
                self.num_particles,
                powers=self._powers_of_r,
                record=self.num_particles <= _LONGEST_RECORD,
            )
        return self._of_r

    def draw_beside_r(self, proposal: Stratified) -> Scored:
        """The K particles of r, which are not scored again, and K of the mixture's other half."""
        known = self.from_r().posterior.log_joints
        return self.draw(self.key, proposal, 2 * self.num_particles, known=known)

    def matched(self, covariance: Covariance) -> Distribution:
        """s(z), which matches the particles of r (`particles.matching.match`).

        Raises:
            InputError: for an r that cannot match itself, or powers that were not streamed: a
                proposal of one's own names those of its covariance in an attribute `powers`.
        """
        if covariance not in self._matched:
            own, moments = self._own(), self.from_r().posterior.under(covariance.powers)
            self._matched[covariance] = match(self.r, moments, own, self.num_particles, covariance)
        return self._matched[covariance]

    @property
    def num_latents(self) -> int:
        """D, over all layers of a latent."""
        return flat_form(self.r)[0].size

    def curved(self, steps: int) -> Curvature:
        """The Gaussian at p(z | x) by so many steps (`particles.curvature.curvature`).

        Its passes through the decoder count as particles scored.
        """
        if steps not in self._curved:
            key = jax.random.fold_in(self.key_s, _CURVATURE)
            found = curvature(key, self.joint.target(self.r), self.r, self._own(), steps)
            self.num_scored += passes(found.mean.size, steps)
            self._curved[steps] = found
        return self._curved[steps]

    def _own(self) -> MeanVariance:
        return own_moments(self.r, lambda: self.from_r().posterior)


def _in_order(*powers: float) -> tuple[float, ...]:
    """The powers in order of appearance, each once."""
    return tuple(dict.fromkeys(powers))
