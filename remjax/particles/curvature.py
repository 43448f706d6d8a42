"""Where p(z | x) lies and how it is curved: what a thousand particles of r do not know.

The moments of weighted particles know no more of the posterior than the few particles that have
weight. A linearisation of the decoder knows its slope in every direction of z, at the price of D
passes.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from remjax.distributions.base import Distribution
from remjax.distributions.layers import flat_form
from remjax.distributions.mixtures import Mixture
from remjax.errors import InputError
from remjax.factorization import cholesky, triangular_inverse
from remjax.particles.covariances import MeanVariance
from remjax.particles.matching import of_kind
from remjax.types import Joint

# Numbers of a Jacobian that are held at a time, for each datapoint.
_LARGEST_JACOBIAN = 2**22


class Curvature(NamedTuple):
    """A Gaussian approximation of p(z | x). Carries no gradient.

    Attributes:
        mean: where the steps ended.
        covariance: the inverse of the averaged precision.
        log_joint: log p(x, mean), nats; -inf where it is not finite.
    """

    mean: Float[Array, " D"]
    covariance: Float[Array, "D D"]
    log_joint: Float[Array, ""]

    def beside(self, r: Distribution, share: float, inflation: float) -> Mixture:
        """share r + (1 - share) N(mean, inflation covariance), over latents of the form of r's."""
        s = of_kind(r, self.mean, inflation * self.covariance)
        return Mixture(s, r, jnp.asarray(share))


# A place, in those units -> z.
_Latent = Callable[[Float[Array, " D"]], PyTree[Array]]


class _State(NamedTuple):
    """The Gaussian so far, in units of r's mean and standard deviation."""

    mean: Float[Array, " D"]
    value: Float[Array, ""]  # log p(x, mean)
    highest: Float[Array, ""]  # of the values so far
    precision: Float[Array, "D D"]
    whitening: Float[Array, "D D"]  # W with W^T W the inverse of the precision, lower triangular


def curvature(
    key: Key[Array, ""], joint: Joint, r: Distribution, own: MeanVariance, steps: int
) -> Curvature:
    """A Gaussian at p(z | x) by averaged Gauss-Newton steps that start from r's moments.

    Step t = 0, 1, ... looks at one point z = mu + d, d ~ N(0, Lambda^-1), at first at mu itself,
    then at pairs of opposite points, and moves by rho = 1 / (t + 2):

        Lambda <- (1 - rho) Lambda + rho (P + J^T F J)
        mu     <- mu + rho Lambda^-1 (grad log p(x, z) + Lambda_before d)

    P = -d^2 log p(z) / dz^2; J is the Jacobian of the decoder's output o(z), and F =
    -d^2 log p(x | o) / do^2, which for logits of bits and categories, means of Gaussians and log
    rates is the Fisher information: J^T F J leaves out the curvature of the network, and is never
    negative (Schraudolph 2002). So Lambda is the plain average of r's precision and of the
    curvatures seen. These are natural-gradient steps (Khan et al. 2018) towards the Gaussian with
    the least KL(q || p), at which E_q[grad log p] = 0 and Lambda = E_q[curvature] (Opper &
    Archambeau 2009): a posterior that is not a Gaussian has other curvatures around its mode than
    at it. Lambda d takes from the gradient what moving away from mu added to it, and from a
    Gaussian posterior all noise.

    Nothing that is not finite is let in, and mu never goes where log p(x, mu) is more than D / 2,
    the depth at which the draws of a Gaussian lie, below the highest seen. At worst the result is
    N(mean_r, variance_r).

    Args:
        key: names the points.
        joint: log p_theta(x, z) with `Joint.decoded`.
        r: of whose form z is.
        own: its mean and variance.
        steps: how many; each is D + 2 passes through the decoder (`passes`), D of them tangents,
            as one batched product, and two with the likelihood.

    Raises:
        InputError: for a model whose output is not known, and for discrete latents or relaxed bits.
    """
    check_curvature(joint, r)
    _, unravel = flat_form(r)
    scale = jnp.sqrt(own.variance)

    def latent(place: Float[Array, " D"]) -> PyTree[Array]:
        return unravel(own.mean + scale * place)

    def step(state: _State, turn: Int[Array, ""]) -> tuple[_State, None]:
        return _step(key, joint, latent, state, turn), None

    identity, nowhere = jnp.eye(scale.size, dtype=scale.dtype), jnp.zeros_like(scale)
    start = _finite(joint(latent(nowhere)))
    state = _State(nowhere, start, start, identity, identity)
    state, _ = lax.scan(step, state, jnp.arange(steps))
    covariance = scale[:, None] * (state.whitening.T @ state.whitening) * scale
    found = Curvature(own.mean + scale * state.mean, covariance, state.value)
    return lax.stop_gradient(found)


def check_curvature(joint: Joint, r: Distribution) -> None:
    """Refuse a model or latents that have no curvature.

    Raises:
        InputError: for a model whose output is not known, and for discrete latents or relaxed bits.
    """
    if joint.decoded is None:
        raise InputError(
            "curvature needs the output of the decoder by itself: give Model.decoded, or build the "
            "model by remjax.models"
        )
    if r.is_discrete or r.is_relaxed:
        kind = "relaxed bits" if r.is_relaxed else "discrete"
        raise InputError(
            f"curvature needs latents of real numbers, and those of r are {kind}: take a proposal "
            "that is r or is made of its particles"
        )


def passes(dimension: int, steps: int) -> int:
    """Passes through the decoder that `curvature` takes for one datapoint."""
    return steps * (dimension + 2)


def _step(
    key: Key[Array, ""], joint: Joint, latent: _Latent, state: _State, turn: Int[Array, ""]
) -> _State:
    rate = 1.0 / (turn + 2.0)
    # Turns 1 and 2 are a pair, 3 and 4 the next.
    noise = jax.random.normal(jax.random.fold_in(key, (turn + 1) // 2), state.mean.shape)
    side = jnp.where(turn == 0, 0.0, jnp.where(turn % 2 == 1, 1.0, -1.0))
    offset = side * (state.whitening.T @ noise)
    seen = _second_order(joint, latent, state.mean + offset)

    precision, whitening = _averaged(state, seen, rate)
    gradient = seen.gradient + state.precision @ offset
    mean = state.mean + rate * (whitening.T @ (whitening @ gradient))
    value = _finite(joint(latent(mean)))
    goes = (value > -jnp.inf) & (value >= state.highest - 0.5 * mean.size)
    return _State(
        mean=jnp.where(goes, mean, state.mean),
        value=jnp.where(goes, value, state.value),
        highest=jnp.where(goes, jnp.maximum(value, state.highest), state.highest),
        precision=precision,
        whitening=whitening,
    )


class _SecondOrder(NamedTuple):
    """The gradient of log p(x, z), and minus its curvature: the decoder's and the prior's."""

    gradient: Float[Array, " D"]
    information: Float[Array, "D D"]
    of_prior: Float[Array, "D D"]


def _averaged(
    state: _State, seen: _SecondOrder, rate: Float[Array, ""]
) -> tuple[Float[Array, "D D"], Float[Array, "D D"]]:
    """The average precision and its whitening; as before where it has none."""
    # A prior over layers may curve upwards somewhere, its diagonal less often: then that serves.
    diagonal = jnp.diag(jnp.maximum(jnp.diagonal(seen.of_prior), 0.0))
    rest = (1.0 - rate) * state.precision + rate * seen.information
    whole = rest + rate * seen.of_prior
    is_positive = _is_finite(cholesky(whole))
    new = jnp.where(is_positive, whole, rest + rate * diagonal)
    whitening = triangular_inverse(cholesky(new))
    exists = _is_finite(whitening)
    return jnp.where(exists, new, state.precision), jnp.where(exists, whitening, state.whitening)


def _second_order(joint: Joint, latent: _Latent, place: Float[Array, " D"]) -> _SecondOrder:
    """To second order at z = latent(place); the decoder in its linear approximation."""
    decoded = joint.decoded
    assert decoded is not None

    def log_prior(place: Float[Array, " D"]) -> Float[Array, ""]:
        return joint.log_prior(latent(place))

    output, push = jax.linearize(lambda place: decoded.output(latent(place)), place)
    pull = jax.linear_transpose(push, place)
    score, push_score = jax.linearize(jax.grad(decoded.log_prob), output)
    gradient = jax.grad(log_prior)(place) + pull(score)[0]
    information = _information(push, push_score, pull, output, place)
    of_prior = -jax.hessian(log_prior)(place)
    return _SecondOrder(gradient, _symmetric(information), _symmetric(of_prior))


def _information(
    push: Callable, push_score: Callable, pull: Callable, output: PyTree, place: Array
) -> Float[Array, "D D"]:
    """J^T F J, of all D columns of J at once where they can be held."""
    tangents = jnp.eye(place.size, dtype=place.dtype)
    at_a_time = max(1, _LARGEST_JACOBIAN // sum(leaf.size for leaf in jax.tree.leaves(output)))
    if place.size <= at_a_time:
        jacobian = jax.vmap(push)(tangents)
        bent = jax.vmap(push_score)(jacobian)
        pairs = zip(jax.tree.leaves(jacobian), jax.tree.leaves(bent), strict=True)
        rows = [(a.reshape(a.shape[0], -1), b.reshape(b.shape[0], -1)) for a, b in pairs]
        return -sum((a @ b.T for a, b in rows), jnp.zeros(()))
    # Row by row, each a pass back as well.
    return lax.map(
        lambda tangent: -pull(push_score(push(tangent)))[0], tangents, batch_size=at_a_time
    )


def _symmetric(matrix: Float[Array, "D D"]) -> Float[Array, "D D"]:
    return 0.5 * (matrix + matrix.T)


def _is_finite(array: Array) -> Bool[Array, ""]:
    return jnp.all(jnp.isfinite(array))


def _finite(value: Float[Array, ""]) -> Float[Array, ""]:
    return jnp.where(jnp.isfinite(value), value, -jnp.inf)
