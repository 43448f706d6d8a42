"""The importance-weighted autoencoder and its pathwise relatives: theta ascends a tighter bound."""

from typing import Unpack

import jax.numpy as jnp

from remjax.methods.composition import ParticleOptions, compose
from remjax.methods.objectives import (
    Hyperobjective,
    expected_complete_log_likelihood,
    importance_weighted_bound,
    path_derivative,
)
from remjax.methods.proposals import from_r
from remjax.types import Estimator, Model, Recognition


def importance_weighted(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    hyperobjective: Hyperobjective,
    chunk_size: int | None = None,
    keep: int | None = None,
) -> Estimator:
    """theta ascends L_K = E[log 1/K sum_k w_k], eta something pathwise on the same particles.

    The gradient in theta is sum_k weights_k grad log p_theta(x, z_k) (Burda et al. 2015, Eq. 14).

    Args:
        model: p_theta(x, z).
        recognition: r_eta(z | x), reparameterisable.
        num_particles: K.
        hyperobjective: what eta ascends, pathwise: `importance_weighted_bound`, `path_derivative`.
        chunk_size: particles per datapoint in memory at a time.
        keep: particles that carry the gradient, without bias. 1 is the one-sample form of Section
            3.1: K forward passes, one backward pass. None keeps all.

    Raises:
        InputError: at the first estimate, for latents without a reparameterised draw.
    """
    return compose(
        model,
        recognition,
        num_particles=num_particles,
        objective=expected_complete_log_likelihood,
        proposal=from_r,
        hyperobjective=hyperobjective,
        hyperproposal=from_r,
        chunk_size=chunk_size,
        keep=keep,
    )


def iwae(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    **options: Unpack[ParticleOptions],
) -> Estimator:
    """The importance-weighted autoencoder (Burda, Grosse & Salakhutdinov 2015, Eq. 14).

    Both networks ascend L_K; eta pathwise through z_k(eta). Arguments as in `importance_weighted`.
    """
    return importance_weighted(
        model,
        recognition,
        num_particles=num_particles,
        hyperobjective=importance_weighted_bound,
        **options,
    )


def dreg(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    **options: Unpack[ParticleOptions],
) -> Estimator:
    """The doubly reparameterised gradient of L_K (Tucker, Lawson, Gu & Maddison 2019, Eq. 8).

    eta follows sum_k weights_k^2 d log w(z_k) / dz dz_k / d eta. Its expectation is that of `iwae`;
    its signal-to-noise ratio does not vanish with K as that of `iwae` does, and it vanishes itself,
    draw by draw, at an exact posterior. theta keeps the gradient of `iwae`. Arguments as in
    `importance_weighted`.
    """
    return importance_weighted(
        model,
        recognition,
        num_particles=num_particles,
        hyperobjective=path_derivative(jnp.square),
        **options,
    )


def stl(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    **options: Unpack[ParticleOptions],
) -> Estimator:
    """Sticking the landing (Roeder, Wu & Duvenaud 2017): the path derivative of L_K alone.

    eta follows sum_k weights_k d log w(z_k) / dz dz_k / d eta. With K = 1 it is unbiased for the
    gradient of the evidence lower bound; with more it is biased for that of L_K (Tucker et al.
    2019). Arguments as in `importance_weighted`.
    """
    return importance_weighted(
        model,
        recognition,
        num_particles=num_particles,
        hyperobjective=path_derivative(lambda weight: weight),
        **options,
    )
