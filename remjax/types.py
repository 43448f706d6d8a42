"""The types that every room shares: what a model, a recognition network and an estimator are.

Shape letters, used everywhere: N datapoints of a data set, B datapoints of a batch, K particles per
datapoint, M particles kept for the gradient, D latent dimension, X data dimension.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key, PyTree, Shaped

from remjax.distributions.base import Distribution
from remjax.errors import InputError

Latent = PyTree[Array]
Scalar = Float[Array, ""]
Metrics = dict[str, Array]
# One x: a vector [X] for the networks of the library; an image, bits or whole numbers for others.
Datapoint = Shaped[Array, "*X"]


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


class Memory(NamedTuple):
    """What is remembered of each datapoint from one visit to the next: Markov chains, say.

    A training step gathers the memories of its batch. The estimate advances them, without gradient,
    by what the network says of x, and shows them to that same distribution (`Recognition.visit`).
    The step writes them back; where the update is skipped they stay as they were. They are arrays
    of any type; bits (bool) are stored eight to the byte.

    Attributes:
        init: key -> the memory of one datapoint that was never visited, a pytree of arrays.
        advance: (params, key, x, r, memory) -> the memory of that datapoint at this visit, where r
            is `Recognition.distribution(eta, x)`: the network need not be run for it again.
    """

    init: Callable[[Key[Array, ""]], PyTree[Array]]
    advance: Callable[
        [Params, Key[Array, ""], Datapoint, Distribution, PyTree[Array]], PyTree[Array]
    ]


class Recognition(NamedTuple):
    """A recognition network r_eta(z | x), a pure function of ONE x.

    Attributes:
        init: key -> eta.
        distribution: (eta, x) -> the distribution r_eta(. | x).
        memory: what it remembers of each datapoint, if anything.
    """

    init: Callable[[Key[Array, ""]], PyTree]
    distribution: Callable[[PyTree, Datapoint], Distribution]
    memory: Memory | None = None

    def r(self, eta: PyTree, x: Datapoint) -> Distribution:
        """The distribution r_eta(. | x), without a memory of x.

        Raises:
            InputError: where `distribution` returns something else.
        """
        r = self.distribution(eta, x)
        if not isinstance(r, Distribution):
            raise InputError(
                f"Recognition.distribution returns a {type(r).__name__}: return a "
                "remjax.Distribution, such as remjax.DiagonalGaussian(loc, scale)"
            )
        return r

    def visit(
        self,
        r: Distribution,
        params: Params,
        key: Key[Array, ""],
        x: Datapoint,
        memory: PyTree[Array],
    ) -> tuple[Distribution, PyTree[Array]]:
        """r at what is remembered of x after this visit, and that memory, which has no gradient.

        Args:
            r: what `r` gives for x.
            params: of which the memory may make use.
            key: of the advance. Consumed.
            x: the datapoint.
            memory: as the last visit left it; () for a datapoint of which nothing is remembered.
        """
        if self.memory is None or not jax.tree.leaves(memory):
            return r, memory
        seen = lax.stop_gradient((params, r))
        memory = lax.stop_gradient(self.memory.advance(seen[0], key, x, seen[1], memory))
        return r.at(memory), memory


class Batch(NamedTuple):
    """Datapoints, their places in the data set, and what is remembered of them.

    The place names the particles of a datapoint, together with the key of the step. Within a batch
    no place comes twice.

    Attributes:
        x: the datapoints, whose first axis is B.
        index: their places.
        memory: their memories before this visit, arrays whose first axis is B; () for none.
    """

    x: Shaped[Array, "B *X"]
    index: Int[Array, " B"]
    memory: PyTree[Array] = ()


class Estimate(NamedTuple):
    """What an estimator says about a batch: two losses, in nats per datapoint.

    The gradient of `theta_loss` reaches only theta and that of `eta_loss` only eta (and the
    baseline). The values are surrogates: read `metrics` to know how the fit stands.

    Attributes:
        theta_loss: what theta descends.
        eta_loss: what eta descends.
        metrics: means over the batch.
        memory: the memories of the batch after this visit, a row for each datapoint; () for none.
        statistics: the batch statistics after the batch, by the number of their leaf among those of
            params; empty for networks without any.
    """

    theta_loss: Scalar
    eta_loss: Scalar
    metrics: Metrics
    memory: PyTree[Array] = ()
    statistics: dict[int, Array] = {}  # noqa: RUF012


class Estimator(NamedTuple):
    """A method for one model and recognition network: how to begin, and a batch as two losses.

    Attributes:
        init: key -> (params, state); the state is the method's own, empty for most.
        estimate: (params, state, key, batch) -> (Estimate, state).
        state_of_batch: whether the state comes out the same on every device that shares a batch
            (`sharding.mean_over_batch`): only then, or where it is empty, does a mesh serve.
        memory: what is remembered of each datapoint, if anything.
        support: the values that x may have.
    """

    init: Callable[[Key[Array, ""]], tuple[Params, PyTree]]
    estimate: Callable[[Params, Any, Key[Array, ""], Batch], tuple[Estimate, Any]]
    state_of_batch: bool = False
    memory: Memory | None = None
    support: Support = Support()
