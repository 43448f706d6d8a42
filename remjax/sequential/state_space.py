"""What a state-space model and its proposals are: pure functions of ONE step of ONE sequence.

Shape letters beside those of `remjax.types`: T steps of a sequence x [T, X] with latents z [T, D].
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Key, PyTree, Shaped

from remjax.distributions.base import Distribution
from remjax.errors import InputError
from remjax.models.likelihoods import Likelihood
from remjax.types import Latent, Scalar, Support

Observation = Shaped[Array, "..."]


class StateSpaceModel(NamedTuple):
    """p_theta(x, z) = p(z_1) p(x_1 | z_1) prod_t p(z_t | z_{t-1}) p(x_t | z_t).

    Attributes:
        init: key -> theta.
        initial: theta -> p(z_1).
        transition: (theta, z_{t-1}) -> p(z_t | z_{t-1}).
        emission: (theta, z_t) -> p(x_t | z_t), a distribution of x_t.
        support: the values that x may have.
    """

    init: Callable[[Key[Array, ""]], PyTree]
    initial: Callable[[PyTree], Distribution]
    transition: Callable[[PyTree, Latent], Distribution]
    emission: Callable[[PyTree, Latent], Distribution]
    support: Support = Support()

    def prior(self, theta: PyTree, previous: Latent | None) -> Distribution:
        """p(z_t | z_{t-1}); p(z_1) where there is no previous one."""
        return self.initial(theta) if previous is None else self.transition(theta, previous)

    def log_joint(
        self,
        theta: PyTree,
        previous: Latent | None,
        z: Latent,
        x: Observation,
        observed: Bool[Array, ""],
    ) -> Scalar:
        """log p(z_t | z_{t-1}) + log p(x_t | z_t) in nats; the first term alone if not observed."""
        log_likelihood = jnp.where(observed, self.emission(theta, z).log_prob(x), 0.0)
        return self.prior(theta, previous).log_prob(z) + log_likelihood

    def sample(self, theta: PyTree, key: Key[Array, ""], num_steps: int) -> tuple[Latent, Array]:
        """(z, x) of T = num_steps steps, one ancestral sample. Consumes the key; no gradient."""
        theta = lax.stop_gradient(theta)

        def emitted(z: Latent, key: Key[Array, ""]) -> Array:
            return self.emission(theta, z).sample(key)

        def step(previous: Latent, key: Key[Array, ""]) -> tuple[Latent, tuple[Latent, Array]]:
            key_z, key_x = jax.random.split(key)
            z = self.transition(theta, previous).sample(key_z)
            return z, (z, emitted(z, key_x))

        key_z, key_x, key = jax.random.split(key, 3)
        first = self.initial(theta).sample(key_z)
        _, later = lax.scan(step, first, jax.random.split(key, num_steps - 1))
        return jax.tree.map(
            lambda one, rest: jnp.concatenate([one[None], rest]),
            (first, emitted(first, key_x)),
            later,
        )


class StepRecognition(NamedTuple):
    """r_eta(z_t | z_{t-1}, x_t): what proposes the latent of a step.

    Attributes:
        init: key -> eta.
        initial: (eta, x_1) -> r(z_1 | x_1).
        transition: (eta, z_{t-1}, x_t) -> r(z_t | z_{t-1}, x_t).
    """

    init: Callable[[Key[Array, ""]], PyTree]
    initial: Callable[[PyTree, Observation], Distribution]
    transition: Callable[[PyTree, Latent, Observation], Distribution]

    def r(self, eta: PyTree, previous: Latent | None, x: Observation) -> Distribution:
        """The proposal of a step, given z_{t-1} and x_t; of the first, where none is before."""
        return self.initial(eta, x) if previous is None else self.transition(eta, previous, x)


class Steps(NamedTuple):
    """A sequence as the filter goes through it.

    Attributes:
        x: [T, X]; zeros where a row is missing.
        observed: [T], whether the row of a step was observed at all.
        active: [T], whether the sequence has not ended yet.
    """

    x: Shaped[Array, "T ..."]
    observed: Bool[Array, " T"]
    active: Bool[Array, " T"]


def steps_of(x: Shaped[Array, "T ..."]) -> Steps:
    """A sequence, its rows of NaN told apart: after the last observed one it has ended.

    A row all of whose entries are NaN in the midst of others is a step that was not observed: its
    latent moves on as the model has it. A row of which some entries are NaN is left to the
    likelihood (`models.marginalized`).
    """
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        everywhere = jnp.ones(x.shape[0], bool)
        return Steps(x, everywhere, everywhere)
    observed = ~jnp.all(jnp.isnan(x.reshape(x.shape[0], -1)), axis=-1)
    active = lax.cummax(observed.astype(jnp.int32), reverse=True) > 0
    shape = (-1,) + (1,) * (x.ndim - 1)
    return Steps(jnp.where(observed.reshape(shape), x, 0.0), observed, active)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class WhereObserved(Distribution):
    """r where x_t was observed, else the model's own p(z_t | z_{t-1}), which then is optimal.

    Attributes:
        observed: whether it was.
        r: the proposal.
        prior: of latents of the same form.
    """

    observed: Bool[Array, ""]
    r: Distribution
    prior: Distribution

    @property
    def mean(self) -> Float[Array, " D"] | None:
        """E[z_t], where both have it in closed form."""
        return self._chosen(self.r.mean, self.prior.mean)

    @property
    def variance(self) -> Float[Array, " D"] | None:
        """Of each coordinate, where both have it in closed form."""
        return self._chosen(self.r.variance, self.prior.variance)

    @property
    def is_discrete(self) -> bool:
        """Whether r is."""
        return self.r.is_discrete

    def rsample(self, key: Key[Array, ""]) -> PyTree[Array]:
        """The draw of one or the other, with its gradient."""
        return self._chosen(self.r.rsample(key), self.prior.rsample(key))

    def sample(self, key: Key[Array, ""]) -> PyTree[Array]:
        """The same, without any gradient."""
        return self._chosen(self.r.sample(key), self.prior.sample(key))

    def log_prob(self, z: PyTree[Array]) -> Scalar:
        """Log density at z of one or the other, in nats."""
        return self._chosen(self.r.log_prob(z), self.prior.log_prob(z))

    def _chosen(self, of_r: Any, of_prior: Any) -> Any:
        if of_r is None or of_prior is None:
            return None
        return jax.tree.map(lambda a, b: jnp.where(self.observed, a, b), of_r, of_prior)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Emission(Distribution):
    """p(x_t | z_t) of one of the library's likelihoods, the output of its network filled in.

    Attributes:
        own: the likelihood's own parameters.
        output: of the network at z_t.
        density: (own, output, x) -> nats.
        draw: (own, output, key) -> x.
    """

    own: PyTree
    output: Float[Array, " X"]
    density: Callable[..., Any] = dataclasses.field(metadata={"static": True})
    draw: Callable[..., Any] = dataclasses.field(metadata={"static": True})

    def rsample(self, key: Key[Array, ""]) -> Array:
        """Refused: a likelihood says nothing of the gradient of its draws.

        Raises:
            InputError: always.
        """
        del key
        raise InputError("an observation is drawn by sample: it has no reparameterised draw")

    def sample(self, key: Key[Array, ""]) -> Array:
        """One x_t, without any gradient."""
        return lax.stop_gradient(self.draw(self.own, self.output, key))

    def log_prob(self, z: PyTree[Array]) -> Scalar:
        """log p(x_t | z_t) at the x_t given, in nats. Gradients reach the output and `own`."""
        return self.density(self.own, self.output, z)


def emission(likelihood: Likelihood, own: PyTree, output: Float[Array, " X"]) -> Emission:
    """p(x_t | z_t) of a likelihood.

    Args:
        likelihood: of one row x_t.
        own: its parameters.
        output: of the network at z_t.
    """
    return Emission(own, output, likelihood.log_prob, likelihood.sample)
