"""Methods while a warm-up lasts: every tuple of particles, at one weight of the KL term."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from experiments.enumeration.cases import Case, Claim
from experiments.enumeration.recognition import of_r
from experiments.enumeration.tiny_networks import TinyNetwork, X
from remjax.methods.score_functions import ovis, reinforce, rloo, tvo, vimco
from remjax.methods.wake_sleep import rws
from remjax.methods.warm_up import WarmUpState, warm_up
from remjax.types import Params

# The fourth update of ten.
_STATE, _UPDATES, _LAMBDA = WarmUpState((), jnp.asarray(3, jnp.int32)), 10, 0.3


def _log_w(net: TinyNetwork, params: Params) -> Float[Array, " C"]:
    """log p(x | z) + lambda (log p(z) - log r(z)) of every configuration."""
    joint = net.model.joint(params.theta, X)
    log_likelihood = jax.vmap(joint.log_likelihood)(net.configurations)
    ratio = jax.vmap(joint.log_prior)(net.configurations) - net.log_r(params.eta)
    return log_likelihood + _LAMBDA * ratio


def _lower_bound(net: TinyNetwork, params: Params, _: int) -> Float[Array, ""]:
    """Vahdat et al. 2019, Eq. 17."""
    return -jnp.exp(net.log_r(params.eta)) @ _log_w(net, params)


def _bound(net: TinyNetwork, params: Params, num_particles: int) -> Float[Array, ""]:
    """Eq. 18."""
    tuples = net.tuples(num_particles)
    probability = jnp.exp(jnp.sum(net.log_r(params.eta)[tuples], axis=1))
    evidence = jax.nn.logsumexp(_log_w(net, params)[tuples], axis=1) - jnp.log(num_particles)
    return -probability @ evidence


def _wake(net: TinyNetwork, params: Params, num_particles: int) -> Float[Array, ""]:
    """-E sum_k w_k log r(z_k): neither the particles nor their weights move."""
    tuples, fixed = net.tuples(num_particles), lax.stop_gradient(params)
    probability = jnp.exp(jnp.sum(net.log_r(fixed.eta)[tuples], axis=1))
    weights = jax.nn.softmax(_log_w(net, fixed)[tuples], axis=1)
    return -probability @ jnp.sum(weights * net.log_r(params.eta)[tuples], axis=1)


_LOWER_BOUND = Claim("unbiased: E[log p(x | z)] - 0.3 KL(r, p)", _lower_bound)
_BOUND = Claim("unbiased: L_K with weights p(x | z) (p(z) / r(z))^0.3", _bound)
_WAKE = Claim(
    "KL(p(x | z) p(z)^0.3 r(z)^0.7, r) with weights normalised over K particles: a bias of order "
    "1/K",
    _wake,
)


def cases() -> list[Case]:
    """Methods that use their weights in different ways."""
    rows = [
        ("reinforce", reinforce, _LOWER_BOUND, _LOWER_BOUND),
        ("rloo", rloo, _LOWER_BOUND, _LOWER_BOUND),
        ("tvo", tvo(num_partitions=1), _LOWER_BOUND, _LOWER_BOUND),
        ("vimco", vimco(), _BOUND, _BOUND),
        ("ovis", ovis(gamma=0.0), _BOUND, _BOUND),
        ("rws", rws(), _BOUND, _WAKE),
    ]
    return [
        of_r(f"{name} warming up", warm_up(method, _UPDATES), count, theta, eta, _STATE)
        for name, method, theta, eta in rows
        for count in (2, 3)
    ]
