"""IWAE, RWS and REM v1 as one would first write them in JAX: all particles at once.

What the engine is measured against. Every particle of the batch is drawn, scored and differentiated
in one piece, so memory grows with their number.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from remjax.distributions import FullGaussian
from remjax.types import Model, Params, Recognition

# Added to the diagonal of the covariance of s, as Dieng & Paisley 2019 promise (below Eq. 19).
_RIDGE = 1e-6

# (model, recognition, K) -> (parameters, key, one x) -> what both networks ascend, nats.
Objective = Callable[[Params, Key[Array, ""], Float[Array, " X"]], Float[Array, ""]]


def iwae(model: Model, recognition: Recognition, num_particles: int) -> Objective:
    """L_K through the reparameterised particles of r (Burda et al. 2015, Eq. 8)."""

    def objective(params: Params, key: Key[Array, ""], x: Float[Array, " X"]) -> Float[Array, ""]:
        r = recognition.r(params.eta, x)
        z = jax.vmap(r.rsample)(jax.random.split(key, num_particles))
        log_w = jax.vmap(model.joint(params.theta, x))(z) - jax.vmap(r.log_prob)(z)
        return jax.nn.logsumexp(log_w) - jnp.log(float(num_particles))

    return objective


def rws(model: Model, recognition: Recognition, num_particles: int) -> Objective:
    """Wake-wake: both networks from the weighted particles of r (Bornschein & Bengio 2015)."""

    def objective(params: Params, key: Key[Array, ""], x: Float[Array, " X"]) -> Float[Array, ""]:
        r = recognition.r(params.eta, x)
        z = jax.vmap(r.sample)(jax.random.split(key, num_particles))
        log_joint, log_r = jax.vmap(model.joint(params.theta, x))(z), jax.vmap(r.log_prob)(z)
        weights = lax.stop_gradient(jax.nn.softmax(log_joint - log_r))
        return jnp.sum(weights * (log_joint + log_r))

    return objective


def rem_v1(model: Model, recognition: Recognition, num_particles: int) -> Objective:
    """Algorithm 1 of Dieng & Paisley 2019 with the covariance of its Eq. 18."""

    def objective(params: Params, key: Key[Array, ""], x: Float[Array, " X"]) -> Float[Array, ""]:
        key_r, key_s = jax.random.split(key)
        r = recognition.r(params.eta, x)
        z = jax.vmap(r.sample)(jax.random.split(key_r, num_particles))
        log_joint = jax.vmap(model.joint(params.theta, x))(z)
        weights = lax.stop_gradient(jax.nn.softmax(log_joint - jax.vmap(r.log_prob)(z)))
        mean = weights @ z
        covariance = jnp.einsum("k,kd,ke->de", weights, z - mean, z - mean)
        s = FullGaussian(mean, jnp.linalg.cholesky(covariance + _RIDGE * jnp.eye(len(mean))))
        z_of_s = jax.vmap(s.sample)(jax.random.split(key_s, num_particles))
        frozen_joint = model.joint(lax.stop_gradient(params.theta), x)
        of_s = jax.nn.softmax(jax.vmap(frozen_joint)(z_of_s) - jax.vmap(s.log_prob)(z_of_s))
        return jnp.sum(weights * log_joint) + jnp.sum(of_s * jax.vmap(r.log_prob)(z_of_s))

    return objective
