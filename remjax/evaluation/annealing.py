"""Chains of annealed importance sampling for continuous latents, on ONE image at a time.

A chain goes from a start q(z), the recognition network or the prior, to the joint density along
the geometric path f_b(z) = q(z)^(1 - b) p(x, z)^b, by HMC transitions of blackjax. The bounds that
come of it are in `bounds`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key, PyTree

from remjax.distributions.base import Distribution
from remjax.distributions.layers import flat_form
from remjax.errors import InputError
from remjax.particles.weights import effective_sample_size, log_mean_exp
from remjax.types import Datapoint, Model, Params, Recognition

# Chains that choose the step sizes of an image, and how fast: in log step size per transition.
_PILOT_CHAINS = 4
_ADAPTATION_RATE = 0.1
# The temperatures follow a sigmoid between -4 and 4: most of them near the two ends.
_SIGMOID_REACH = 4.0


class Annealing(NamedTuple):
    """How long and how many the chains are.

    Attributes:
        num_steps: temperatures between q and the joint, one HMC transition at each.
        num_chains: per image.
        num_leapfrog: gradients in a transition.
        target_acceptance: which the step sizes are chosen for, between 0 and 1.
    """

    num_steps: int = 1000
    num_chains: int = 16
    num_leapfrog: int = 10
    target_acceptance: float = 0.65

    @property
    def temperatures(self) -> Float[np.ndarray, " T"]:
        """b_0 = 0, ..., b_T = 1: a sigmoid (Grosse et al. 2015)."""
        logits = np.linspace(-_SIGMOID_REACH, _SIGMOID_REACH, self.num_steps + 1)
        sigmoid = 1.0 / (1.0 + np.exp(-logits))
        return (sigmoid - sigmoid[0]) / (sigmoid[-1] - sigmoid[0])

    def check(self) -> None:
        """Raise InputError where the numbers make no sense."""
        for name in ("num_steps", "num_chains", "num_leapfrog"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: give at least 1")
        if not 0.0 < self.target_acceptance < 1.0:
            raise InputError(
                f"target_acceptance is {self.target_acceptance}: give a number between 0 and 1"
            )


class _Path(NamedTuple):
    """The densities between q and the joint of ONE image, over flattened latents."""

    log_start: Callable[[Float[Array, " D"]], Float[Array, ""]]
    log_joint: Callable[[Float[Array, " D"]], Float[Array, ""]]
    inverse_mass: Float[Array, " D"]
    num_leapfrog: int

    def gain(self, z: Float[Array, "C D"]) -> Float[Array, " C"]:
        """log p(x, z) - log q(z) of each chain, nats."""
        return jax.vmap(lambda one: self.log_joint(one) - self.log_start(one))(z)

    def move(
        self,
        key: Key[Array, ""],
        z: Float[Array, "C D"],
        temperature: Float[Array, ""],
        step_size: Float[Array, ""],
    ) -> tuple[Float[Array, "C D"], Float[Array, " C"]]:
        """An HMC transition of each chain that leaves f_b as it is -> (z, acceptance)."""
        # Its import computes something, and before that a host must have joined the others.
        from blackjax.mcmc import hmc

        def log_density(z: Float[Array, " D"]) -> Float[Array, ""]:
            return (1.0 - temperature) * self.log_start(z) + temperature * self.log_joint(z)

        def one(key: Key[Array, ""], z: Float[Array, " D"]) -> tuple[Array, Array]:
            state = hmc.init(z, log_density)
            state, info = hmc.build_kernel()(
                key, state, log_density, cast(Any, step_size), self.inverse_mass, self.num_leapfrog
            )
            return cast(Array, state.position), jnp.asarray(info.acceptance_rate)

        return jax.vmap(one)(jax.random.split(key, z.shape[0]), z)


def _start_and_path(
    model: Model,
    recognition: Recognition | None,
    params: Params,
    x: Datapoint,
    num_leapfrog: int,
) -> tuple[Distribution, _Path]:
    joint = model.joint(params.theta, x).hard()
    start = joint.prior if recognition is None else recognition.r(params.eta, x).hard()
    if start is None:
        raise InputError("there is no distribution to begin at: give a recognition network")
    if start.is_discrete:
        raise InputError(
            "annealed importance sampling moves real latents and these are discrete: score the "
            "model by log_likelihood (L_K)"
        )
    flat, unflatten = flat_form(start)
    path = _Path(
        log_start=lambda z: start.log_prob(unflatten(z)),
        log_joint=lambda z: joint(unflatten(z)),
        inverse_mass=jnp.ones_like(flat) if start.variance is None else start.variance,
        num_leapfrog=num_leapfrog,
    )
    return start, path


def _steps(annealing: Annealing) -> tuple[Array, Array, Array]:
    """(b_t, b_t - b_{t-1}, t - 1) for t = 1, ..., T."""
    temperatures = annealing.temperatures
    return (
        jnp.asarray(temperatures[1:], jnp.float32),
        jnp.asarray(np.diff(temperatures), jnp.float32),
        jnp.arange(annealing.num_steps),
    )


def make_forward_chains(
    model: Model, recognition: Recognition | None, annealing: Annealing
) -> Callable[..., tuple[Array, ...]]:
    """Compiled chains from q to the joint, of a block of images.

    The step size at each temperature is chosen by the acceptance of pilot chains that do not count.

    Args:
        model: p_theta(x, z).
        recognition: r_eta(z | x), where the path begins; without it, at the prior.
        annealing: the number and length of the chains.

    Returns:
        forward(params, keys [B], x [B, X]) -> (log 1/C sum_c w_c in nats, ESS, mean acceptance, all
        [B], and the step sizes [B, T]).

    Raises:
        InputError: from the function, for a model without a distribution to begin at, or for
            discrete latents.
    """

    def one(params: Params, key: Key[Array, ""], x: Datapoint) -> tuple[Array, ...]:
        start, path = _start_and_path(model, recognition, params, x, annealing.num_leapfrog)
        key_start, key_moves = jax.random.split(key)
        keys = jax.random.split(key_start, _PILOT_CHAINS + annealing.num_chains)
        z = jax.vmap(lambda key: ravel_pytree(start.sample(key))[0])(keys)

        def step(carry: tuple[Array, ...], at: tuple[Array, ...]) -> tuple[tuple, tuple]:
            z, log_w, log_size = carry
            temperature, by, place = at
            log_w = log_w + by * path.gain(z)
            step_size = jnp.exp(log_size)
            z, accepted = path.move(jax.random.fold_in(key_moves, place), z, temperature, step_size)
            # The pilots alone choose: what the other chains do has no say in their own moves.
            excess = jnp.mean(accepted[:_PILOT_CHAINS]) - annealing.target_acceptance
            log_size = log_size + _ADAPTATION_RATE * excess
            return (z, log_w, log_size), (jnp.mean(accepted[_PILOT_CHAINS:]), step_size)

        # In units of the start's scale, what HMC likes of a Gaussian of this dimension.
        log_size = -0.25 * jnp.log(float(z.shape[1]))
        carry = (z, jnp.zeros(len(z)), log_size)
        (_, log_w, _), (accepted, step_sizes) = lax.scan(step, carry, _steps(annealing))
        log_w = log_w[_PILOT_CHAINS:]
        return log_mean_exp(log_w), effective_sample_size(log_w), jnp.mean(accepted), step_sizes

    return jax.jit(jax.vmap(one, (None, 0, 0)))


def make_reverse_chains(
    model: Model, recognition: Recognition | None, annealing: Annealing
) -> Callable[..., tuple[Array, ...]]:
    """Compiled chains from exact draws of the posterior back to q, of a block of images.

    Arguments as in `make_forward_chains`.

    Returns:
        reverse(params, keys [B], x [B, X], z, step sizes [B, T]) -> (-log 1/C sum_c 1 / w_c in
        nats, ESS of the 1 / w, mean acceptance), all [B]; z leads with B.
    """

    def one(
        params: Params,
        key: Key[Array, ""],
        x: Datapoint,
        z: PyTree[Array],
        step_sizes: Float[Array, " T"],
    ) -> tuple[Array, ...]:
        _, path = _start_and_path(model, recognition, params, x, annealing.num_leapfrog)

        def step(carry: tuple[Array, ...], at: tuple[Array, ...]) -> tuple[tuple, Array]:
            z, log_w = carry
            temperature, by, place, step_size = at
            z, accepted = path.move(jax.random.fold_in(key, place), z, temperature, step_size)
            return (z, log_w + by * path.gain(z)), jnp.mean(accepted)

        flat = ravel_pytree(z)[0]
        carry = (jnp.tile(flat, (annealing.num_chains, 1)), jnp.zeros(annealing.num_chains))
        steps = (*_steps(annealing), step_sizes)
        (_, log_w), accepted = lax.scan(step, carry, steps, reverse=True)
        return -log_mean_exp(-log_w), effective_sample_size(-log_w), jnp.mean(accepted)

    return jax.jit(jax.vmap(one, (None, 0, 0, 0, 0)))
