"""The oracle model: p(z) = N(0, I), p(x | z) = N(W z + b, s^2 I); evidence and posterior are exact.

The exact quantities are computed in NumPy float64; `model` and the recognition networks give the
same things to the library.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from remjax.distributions import DiagonalGaussian, FullGaussian
from remjax.distributions.likelihoods import gaussian_log_likelihood
from remjax.types import Decoded, Model, Params, Recognition


class LinearGaussian(NamedTuple):
    """W [X, D], b [X] and s, in float64."""

    weight: np.ndarray
    bias: np.ndarray
    scale: float

    @property
    def latent_size(self) -> int:
        return self.weight.shape[1]

    def sample(self, seed: int, size: int) -> np.ndarray:
        """`size` datapoints [N, X]."""
        rng = np.random.default_rng(seed)
        z = rng.normal(size=(size, self.latent_size))
        x = z @ self.weight.T + self.bias
        return x + self.scale * rng.normal(size=x.shape)

    def log_evidence(self, x: np.ndarray) -> np.ndarray:
        """Exact log p(x) [N] in nats: x is N(b, W W^T + s^2 I)."""
        covariance = self.weight @ self.weight.T + self.scale**2 * np.eye(len(self.bias))
        centred = x - self.bias
        square = np.einsum("nx,xy,ny->n", centred, np.linalg.inv(covariance), centred)
        log_determinant = np.linalg.slogdet(2 * np.pi * covariance)[1]
        return -0.5 * (square + log_determinant)

    @property
    def gain(self) -> np.ndarray:
        """E[z | x] = gain (x - b), [D, X]."""
        return self.posterior_covariance @ self.weight.T / self.scale**2

    @property
    def posterior_covariance(self) -> np.ndarray:
        """Cov[z | x] = (I + W^T W / s^2)^-1, the same for every x."""
        identity = np.eye(self.latent_size)
        return np.linalg.inv(identity + self.weight.T @ self.weight / self.scale**2)

    def posterior_mean(self, x: np.ndarray) -> np.ndarray:
        """E[z | x] [N, D]."""
        return (x - self.bias) @ self.gain.T

    @property
    def theta(self) -> dict:
        """The parameters, for `model`."""
        return {
            "weight": jnp.asarray(self.weight, jnp.float32),
            "bias": jnp.asarray(self.bias, jnp.float32),
            "log_scale": jnp.asarray(np.log(self.scale), jnp.float32),
        }

    @property
    def exact_eta(self) -> dict:
        """The parameters with which `full_recognition` is the exact posterior."""
        factor = np.linalg.cholesky(self.posterior_covariance)
        return {**self._mean_eta, "scale_tril": jnp.asarray(factor, jnp.float32)}

    @property
    def inclusive_eta(self) -> dict:
        """The inclusive-KL optimum of `diagonal_recognition`: the posterior's own variances."""
        log_scale = 0.5 * np.log(np.diagonal(self.posterior_covariance))
        return {**self._mean_eta, "log_scale": jnp.asarray(log_scale, jnp.float32)}

    @property
    def _mean_eta(self) -> dict:
        offset = -self.gain @ self.bias
        return {
            "gain": jnp.asarray(self.gain, jnp.float32),
            "offset": jnp.asarray(offset, jnp.float32),
        }

    def params(self, eta: dict) -> Params:
        """This model's theta together with an eta."""
        return Params(self.theta, eta)


def example(latent_size: int = 2, data_size: int = 3, seed: int = 0) -> LinearGaussian:
    """A model with correlated posterior, b away from zero, s = 0.7."""
    rng = np.random.default_rng(seed)
    return LinearGaussian(
        weight=rng.normal(size=(data_size, latent_size)), bias=rng.normal(size=data_size), scale=0.7
    )


def conjugate() -> LinearGaussian:
    """One latent, one observed value: p(x | z) = N(z, 0.5^2); posterior variance 0.2."""
    return LinearGaussian(weight=np.ones((1, 1)), bias=np.zeros(1), scale=0.5)


def model(truth: LinearGaussian) -> Model:
    """The functions of the library; theta as in `LinearGaussian.theta`."""
    prior = DiagonalGaussian(jnp.zeros(truth.latent_size), jnp.ones(truth.latent_size))

    def mean(theta, z):
        return theta["weight"] @ z + theta["bias"]

    def log_likelihood(theta, x, z):
        log_scale = jnp.broadcast_to(theta["log_scale"], x.shape)
        return gaussian_log_likelihood(mean(theta, z), log_scale, x)

    def sample(theta, key):
        key_z, key_x = jax.random.split(key)
        z = prior.sample(key_z)
        noise = jax.random.normal(key_x, (len(truth.bias),))
        return z, mean(theta, z) + jnp.exp(theta["log_scale"]) * noise

    return Model(
        init=lambda key: truth.theta,
        log_prior=lambda theta, z: prior.log_prob(z),
        log_likelihood=log_likelihood,
        sample=sample,
        prior=lambda theta: prior,
        mean=mean,
        decoded=lambda theta, x: Decoded(
            output=lambda z: mean(theta, z),
            log_prob=lambda o: gaussian_log_likelihood(
                o, jnp.broadcast_to(theta["log_scale"], x.shape), x
            ),
        ),
    )


def full_recognition(truth: LinearGaussian) -> Recognition:
    """r = N(gain x + offset, scale_tril scale_tril^T); eta as in `exact_eta`."""
    return Recognition(
        init=lambda key: truth.exact_eta,
        distribution=lambda eta, x: FullGaussian(
            eta["gain"] @ x + eta["offset"], eta["scale_tril"]
        ),
    )


def diagonal_recognition(truth: LinearGaussian) -> Recognition:
    """r = N(gain x + offset, diag(exp(log_scale))^2); eta as in `inclusive_eta`."""
    return Recognition(
        init=lambda key: truth.inclusive_eta,
        distribution=lambda eta, x: DiagonalGaussian(
            eta["gain"] @ x + eta["offset"], jnp.exp(eta["log_scale"])
        ),
    )
