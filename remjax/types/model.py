"""What a generative model is, with and without its parameters and a datapoint filled in."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree, Shaped

from remjax.distributions.base import Distribution
from remjax.errors import InputError
from remjax.types.arrays import Datapoint, Latent, Scalar


class Decoded(NamedTuple):
    """log p_theta(x | z) in two steps, through the output o(z) of the decoder, of ONE x and z.

    What only sees the sum, log p(x | z), cannot tell the curvature of the likelihood from that of
    the network.

    Attributes:
        output: z -> o, an array or a pytree of them.
        log_prob: o -> log p_theta(x | o), nats.
    """

    output: Callable[[Latent], PyTree[Array]]
    log_prob: Callable[[PyTree[Array]], Scalar]


class Joint(NamedTuple):
    """A model with its parameters and one datapoint filled in: functions of ONE z, in nats.

    Calling it gives log p_theta(x, z) = log_prior(z) + log_likelihood(z). While a warm-up lasts
    (`methods.warm_up`) the prior counts less: particles are weighted by
    w = p(x | z) (p(z) / r(z))^kl_weight, and calling it gives kl_weight log_prior(z) +
    log_likelihood(z), the part of log w that theta moves.

    Attributes:
        log_prior: z -> log p_theta(z).
        log_likelihood: z -> log p_theta(x | z).
        prior: the distribution p_theta(z), or None where it has no closed form.
        kl_weight: lambda, from 0 to 1, without gradient.
        decoded: the likelihood by way of the decoder's output, or None where it is not known.
    """

    log_prior: Callable[[Latent], Scalar]
    log_likelihood: Callable[[Latent], Scalar]
    prior: Distribution | None
    kl_weight: Scalar | float = 1.0
    decoded: Decoded | None = None

    def __call__(self, z: Latent) -> Scalar:
        """kl_weight log p_theta(z) + log p_theta(x | z) in nats."""
        return self.kl_weight * self.log_prior(z) + self.log_likelihood(z)

    def log_w(self, z: Latent, r: Distribution) -> Scalar:
        """log w = log p_theta(x | z) + kl_weight (log p_theta(z) - log r(z)) in nats.

        Gradients reach z, theta and the parameters of r.
        """
        return self(z) - self.kl_weight * r.log_prob(z)

    def hard(self) -> "Joint":
        """That of the bits, where the prior is of smoothed ones (`Distribution.hard`); else itself.

        What evaluation scores: the bits that it draws.
        """
        if self.prior is None or self.prior.smoothed_by is None:
            return self
        bits = self.prior.hard()
        return self._replace(prior=bits, log_prior=bits.log_prob)

    def target(self, r: Distribution) -> "Joint":
        """What particles are weighted towards, whatever they are drawn from.

        p(x | z) p(z)^kl_weight r(z)^(1 - kl_weight): the prior is replaced by a distribution on the
        geometric path from r to it, so that particles of r have the weight w. The model itself
        where kl_weight is the number 1.
        """
        if isinstance(self.kl_weight, float) and self.kl_weight == 1.0:
            return self  # and not 0 log r(z), which costs a pass through r

        def log_prior(z: Latent) -> Scalar:
            of_r = 1.0 - self.kl_weight
            # Elsewhere r may be -inf, as where it is not drawn from.
            log_r = jnp.where(of_r == 0.0, 0.0, of_r * r.log_prob(z))
            return self.kl_weight * self.log_prior(z) + log_r

        return self._replace(log_prior=log_prior, kl_weight=1.0)


class Support(NamedTuple):
    """The values of x that a likelihood has a density for; data are held against it on the host.

    Attributes:
        low: the smallest value.
        high: the largest.
        mend: what to do about others, as the end of a sentence: "divide bytes by 255".
        whole: whether they are whole numbers.
        missing: whether NaN stands for a value that was not observed, and is allowed.
        condition: how many numbers at the end of a datapoint are a condition: any finite ones.
    """

    low: float = -math.inf
    high: float = math.inf
    mend: str = "leave them out"
    whole: bool = False
    missing: bool = False
    condition: int = 0


class Conditional(NamedTuple):
    """A model given a condition c, such as a label: p_theta(x, z | c).

    A datapoint of such a model is the vector [X + C] of x with c behind it, so that whatever takes
    datapoints takes these.

    Attributes:
        size: C.
        given: c [C] -> the model of x [X] alone, with the same theta.
    """

    size: int
    given: Callable[[Shaped[Array, " C"]], "Model"]


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
        decoded: (theta, x) -> the likelihood by way of the decoder's output, where there is one;
            the curvature of the posterior needs it (`particles.curvature`).
        conditional: where a datapoint is x with a condition behind it; None for x alone. What knows
            no datapoint, `sample` and `mean`, is that of the model given a condition (`at`).
    """

    init: Callable[[Key[Array, ""]], PyTree]
    log_prior: Callable[[PyTree, Latent], Scalar]
    log_likelihood: Callable[[PyTree, Datapoint, Latent], Scalar]
    sample: Callable[[PyTree, Key[Array, ""]], tuple[Latent, Datapoint]]
    prior: Callable[[PyTree], Distribution] | None = None
    mean: Callable[[PyTree, Latent], Datapoint] | None = None
    support: Support = Support()
    decoded: Callable[[PyTree, Datapoint], Decoded] | None = None
    conditional: Conditional | None = None

    def at(self, x: Datapoint) -> "Model":
        """The model given the condition of ONE datapoint; without conditions the model itself."""
        if self.conditional is None:
            return self
        return self.conditional.given(x[-self.conditional.size :])

    def dream(self, theta: PyTree, key: Key[Array, ""], x: Array) -> tuple[Latent, Array]:
        """(z, x'), one ancestral sample at the condition of ONE datapoint, which stands behind x'.

        Without conditions that of `sample`, whatever the datapoint.
        """
        z, drawn = self.at(x).sample(theta, key)
        if self.conditional is None:
            return z, drawn
        return z, jnp.concatenate([drawn, x[-self.conditional.size :]])

    def joint(self, theta: PyTree, x: Datapoint) -> Joint:
        """The model with theta and one datapoint filled in. Carries the gradients of theta.

        Raises:
            InputError: from its functions, for a log density that is not one number.
        """
        return Joint(
            log_prior=lambda z: _one_number("prior(z)", self.log_prior(theta, z)),
            log_likelihood=lambda z: _one_number(
                "likelihood(x, z)", self.log_likelihood(theta, x, z)
            ),
            prior=None if self.prior is None else self.prior(theta),
            decoded=None if self.decoded is None else self.decoded(theta, x),
        )


class DenoisingModel(NamedTuple):
    """A model p_theta(x | zbar) of a datapoint given its corruption: pure functions of ONE of each.

    It has no prior: together with a corruption q(zbar | x) it defines a Markov chain
    (`methods.denoising_chains`), whose stationary distribution is the model of the data.

    Attributes:
        init: key -> theta.
        log_likelihood: (theta, x, zbar) -> log p_theta(x | zbar), nats.
        sample: (theta, key, zbar) -> x.
        mean: (theta, zbar) -> E[x | zbar], where it is known; pictures need it.
        support: the values that x may have; any finite ones by default.
    """

    init: Callable[[Key[Array, ""]], PyTree]
    log_likelihood: Callable[[PyTree, Datapoint, Datapoint], Scalar]
    sample: Callable[[PyTree, Key[Array, ""], Datapoint], Datapoint]
    mean: Callable[[PyTree, Datapoint], Datapoint] | None = None
    support: Support = Support()

    def reconstruction(self, theta: PyTree, x: Datapoint, zbar: Datapoint) -> Scalar:
        """log p_theta(x | zbar) in nats, held to be one number.

        Raises:
            InputError: for a log density that is not.
        """
        return _one_number("likelihood(x, zbar)", self.log_likelihood(theta, x, zbar))


def _one_number(name: str, value: Array) -> Scalar:
    """The value, or an InputError where broadcasting would make something else of it."""
    if getattr(value, "shape", ()) != ():
        raise InputError(
            f"log_{name} of one particle has the shape {value.shape}: it is one number, summed "
            "over pixels and latents"
        )
    return value
