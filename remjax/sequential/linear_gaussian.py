"""The linear-Gaussian state-space model: all that filters estimate is exact here (`kalman`)."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key, PyTree

from remjax.distributions.gaussian import DiagonalGaussian, FullGaussian
from remjax.factorization import cholesky, triangular_inverse
from remjax.sequential.state_space import StateSpaceModel, StepRecognition


def linear_gaussian_model(*, latent_size: int, data_size: int) -> StateSpaceModel:
    """z_1 ~ N(m, S), z_t ~ N(A z_{t-1} + b, Q), x_t ~ N(C z_t + d, R); S, Q and R diagonal.

    theta: {"initial": {loc, log_scale}, "transition": {weight, bias, log_scale}, "emission":
    {weight, bias, log_scale}}; the scales are standard deviations. It starts at A = 0.9 I, all
    deviations 1, C of independent N(0, 1 / D) and biases 0.

    Args:
        latent_size: D.
        data_size: X.
    """

    def init(key: Key[Array, ""]) -> PyTree:
        d, x = latent_size, data_size
        weight = jax.random.normal(key, (x, d)) / jnp.sqrt(d)
        return {
            "initial": {"loc": jnp.zeros(d), "log_scale": jnp.zeros(d)},
            "transition": {
                "weight": 0.9 * jnp.eye(d),
                "bias": jnp.zeros(d),
                "log_scale": jnp.zeros(d),
            },
            "emission": {"weight": weight, "bias": jnp.zeros(x), "log_scale": jnp.zeros(x)},
        }

    def initial(theta: PyTree) -> DiagonalGaussian:
        return DiagonalGaussian(theta["initial"]["loc"], jnp.exp(theta["initial"]["log_scale"]))

    return StateSpaceModel(
        init=init,
        initial=initial,
        transition=lambda theta, z: _linear(theta["transition"], z),
        emission=lambda theta, z: _linear(theta["emission"], z),
    )


def linear_gaussian_recognition(*, latent_size: int, data_size: int) -> StepRecognition:
    """r(z_t | z_{t-1}, x_t) = N(A z_{t-1} + B x_t + c, L L^T), and r(z_1 | x_1) without A.

    It holds the locally optimal proposal of `linear_gaussian_model` (`optimal_recognition`). eta:
    {"initial": {of_x, bias, log_scale, lower}, "transition": {the same, of_z}}; L has
    exp(log_scale) on its diagonal and `lower` below it. It starts at A = B = 0 and L = I.

    Args:
        latent_size: D.
        data_size: X.
    """

    def init(_: Key[Array, ""]) -> PyTree:
        d = latent_size

        def start() -> PyTree:
            return {
                "of_x": jnp.zeros((d, data_size)),
                "bias": jnp.zeros(d),
                "log_scale": jnp.zeros(d),
                "lower": jnp.zeros((d, d)),
            }

        return {"initial": start(), "transition": {**start(), "of_z": jnp.zeros((d, d))}}

    def gaussian(own: PyTree, loc: Float[Array, " D"]) -> FullGaussian:
        tril = jnp.tril(own["lower"], -1) + jnp.diag(jnp.exp(own["log_scale"]))
        return FullGaussian(loc, tril)

    def initial(eta: PyTree, x: Float[Array, " X"]) -> FullGaussian:
        own = eta["initial"]
        return gaussian(own, _product(own["of_x"], x) + own["bias"])

    def transition(eta: PyTree, z: Float[Array, " D"], x: Float[Array, " X"]) -> FullGaussian:
        own = eta["transition"]
        return gaussian(own, _product(own["of_z"], z) + _product(own["of_x"], x) + own["bias"])

    return StepRecognition(init, initial, transition)


def optimal_recognition(theta: PyTree) -> PyTree:
    """eta of the locally optimal proposal, p(z_t | z_{t-1}, x_t) and p(z_1 | x_1).

    Under it the factor of a weight is p(x_t | z_{t-1}), whatever z_t was drawn (Doucet, Godsill &
    Andrieu 2000, Proposition 2).

    Args:
        theta: of `linear_gaussian_model`.
    """
    out = theta["emission"]
    gain = out["weight"].T * jnp.exp(-2.0 * out["log_scale"])

    def after(log_scale: Float[Array, " D"], bias: Float[Array, " D"]) -> tuple[PyTree, Array]:
        precision = jnp.exp(-2.0 * log_scale)
        whitening = triangular_inverse(
            cholesky(jnp.diag(precision) + _product(gain, out["weight"]))
        )
        covariance = _product(whitening.T, whitening)
        tril = cholesky(covariance)
        eta = {
            "of_x": _product(covariance, gain),
            "bias": _product(covariance, precision * bias - _product(gain, out["bias"])),
            "log_scale": jnp.log(jnp.diagonal(tril)),
            "lower": jnp.tril(tril, -1),
        }
        return eta, covariance * precision

    move = theta["transition"]
    initial, _ = after(theta["initial"]["log_scale"], theta["initial"]["loc"])
    transition, share = after(move["log_scale"], move["bias"])
    return {
        "initial": initial,
        "transition": {**transition, "of_z": _product(share, move["weight"])},
    }


def _product(a: Float[Array, "M N"], b: Float[Array, "..."]) -> Float[Array, "..."]:
    """Densities are wanted to float32, also where a device rounds the factors of networks."""
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)


def _linear(own: PyTree, z: Float[Array, " D"]) -> DiagonalGaussian:
    return DiagonalGaussian(_product(own["weight"], z) + own["bias"], jnp.exp(own["log_scale"]))
