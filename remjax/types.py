"""The types that every room shares: what a model, a recognition network and an estimator are.

Shape letters, used everywhere: N datapoints of a data set, B datapoints of a batch, K particles per
datapoint, M particles kept for the gradient, D latent dimension, X data dimension.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Array, Float, Int, Key, PyTree

from remjax.distributions.base import Distribution

Latent = PyTree[Array]
Scalar = Float[Array, ""]
Metrics = dict[str, Array]


class Params(NamedTuple):
    """Everything that is learned. Pytrees of arrays; each loss moves its own part.

    Attributes:
        theta: the parameters of the generative model p_theta(x, z).
        eta: the parameters of the recognition network r_eta(z | x).
        baseline: the parameters of a learned baseline, for the methods that have one.
    """

    theta: PyTree
    eta: PyTree
    baseline: PyTree = ()


class Joint(NamedTuple):
    """A model with its parameters and one datapoint filled in: functions of ONE z, in nats.

    Calling it gives log p_theta(x, z) = log_prior(z) + log_likelihood(z).

    Attributes:
        log_prior: z -> log p_theta(z).
        log_likelihood: z -> log p_theta(x | z).
        prior: the distribution p_theta(z), or None where it has no closed form.
    """

    log_prior: Callable[[Latent], Scalar]
    log_likelihood: Callable[[Latent], Scalar]
    prior: Distribution | None

    def __call__(self, z: Latent) -> Scalar:
        """log p_theta(x, z) in nats."""
        return self.log_prior(z) + self.log_likelihood(z)


class Support(NamedTuple):
    """The values of x that a likelihood has a density for; data are held against it on the host.

    Attributes:
        low: the smallest value.
        high: the largest.
        mend: what to do about others, as the end of a sentence: "divide bytes by 255".
    """

    low: float = -math.inf
    high: float = math.inf
    mend: str = "leave them out"


class Model(NamedTuple):
    """A generative model p_theta(x, z): pure functions of ONE x and ONE z (vmap does the rest).

    Attributes:
        init: key -> theta.
        log_prior: (theta, z) -> log p_theta(z), nats.
        log_likelihood: (theta, x, z) -> log p_theta(x | z), nats.
        sample: (theta, key) -> (z, x), one ancestral sample.
        prior: theta -> the distribution p_theta(z), where it has a closed form; the analytic KL
            divergence needs it.
        mean: (theta, z) -> E[x | z], where it is known; pictures need it.
        support: the values that x may have; any finite ones by default.
    """

    init: Callable[[Key[Array, ""]], PyTree]
    log_prior: Callable[[PyTree, Latent], Scalar]
    log_likelihood: Callable[[PyTree, Float[Array, " X"], Latent], Scalar]
    sample: Callable[[PyTree, Key[Array, ""]], tuple[Latent, Float[Array, " X"]]]
    prior: Callable[[PyTree], Distribution] | None = None
    mean: Callable[[PyTree, Latent], Float[Array, " X"]] | None = None
    support: Support = Support()

    def joint(self, theta: PyTree, x: Float[Array, " X"]) -> Joint:
        """The model with theta and one datapoint filled in. Carries the gradients of theta."""
        return Joint(
            log_prior=lambda z: self.log_prior(theta, z),
            log_likelihood=lambda z: self.log_likelihood(theta, x, z),
            prior=None if self.prior is None else self.prior(theta),
        )


class Recognition(NamedTuple):
    """A recognition network r_eta(z | x), a pure function of ONE x.

    Attributes:
        init: key -> eta.
        distribution: (eta, x) -> the distribution r_eta(. | x).
    """

    init: Callable[[Key[Array, ""]], PyTree]
    distribution: Callable[[PyTree, Float[Array, " X"]], Distribution]


class Batch(NamedTuple):
    """Datapoints and their places in the data set.

    The place names the particles of a datapoint, together with the key of the step, and finds the
    memory of methods that keep one per datapoint. Within a batch no place comes twice.
    """

    x: Float[Array, "B X"]
    index: Int[Array, " B"]


class Estimate(NamedTuple):
    """What an estimator says about a batch: two losses, in nats per datapoint.

    The gradient of `theta_loss` reaches only theta and that of `eta_loss` only eta (and the
    baseline). The values are surrogates: read `metrics` to know how the fit stands.
    """

    theta_loss: Scalar
    eta_loss: Scalar
    metrics: Metrics


class Estimator(NamedTuple):
    """A method of fitting: how to begin and how to turn a batch into two losses.

    Attributes:
        init: key -> (params, state); the state is the method's own memory, empty for most.
        estimate: (params, state, key, batch) -> (Estimate, state).
        state_of_batch: whether the state comes out the same on every device that shares a batch
            (`sharding.mean_over_batch`): only then, or where it is empty, does a mesh serve.
    """

    init: Callable[[Key[Array, ""]], tuple[Params, PyTree]]
    estimate: Callable[[Params, Any, Key[Array, ""], Batch], tuple[Estimate, Any]]
    state_of_batch: bool = False
