"""Wake-sleep and reweighted wake-sleep: eta learns by maximum likelihood of particles or of dreams.

Awake, the particles are those of a datapoint, weighted. Asleep, the model dreams: it draws z and x
together, so z is an exact draw of its posterior given x, but x is its own and not the data's.
"""

from typing import Unpack

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key, PyTree

from remjax.errors import InputError
from remjax.methods.composition import ParticleOptions, compose
from remjax.methods.objectives import expected_complete_log_likelihood, path_derivative
from remjax.methods.proposals import Proposal, from_defensive, from_r
from remjax.methods.rem import rem
from remjax.methods.score_function import reinforce
from remjax.types import Batch, Estimate, Estimator, Model, Params, Recognition


def rws(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    hyperproposal: Proposal = from_r,
    dream_share: float = 0.0,
    chunk_size: int | None = None,
    keep: int | None = None,
) -> Estimator:
    """Reweighted wake-sleep (Bornschein & Bengio 2015; Le et al. 2019).

    theta ascends sum_k weights_k log p(x, z_k). eta ascends sum_k weights_k log r(z_k | x) on the
    same particles (wake-q), or log r of dreams (sleep-q), or a mixture of both. With wake-q it is
    REM v1 with s replaced by r.

    Args:
        model: p_theta(x, z).
        recognition: r_eta(z | x).
        num_particles: K.
        hyperproposal: whose particles eta learns from awake; `from_defensive(0.2)` is that of Le
            et al.
        dream_share: of the dreams in eta's loss: 0 is wake-q, 1 is sleep-q. One dream per
            datapoint.
        chunk_size: particles per datapoint in memory at a time.
        keep: particles that carry the gradient of theta. None keeps all.

    Raises:
        InputError: for a share that is not between 0 and 1.
    """
    if not 0.0 <= dream_share <= 1.0:
        raise InputError(
            f"dream_share is {dream_share}: give that of the dreams in eta's loss, from 0 to 1"
        )
    awake = rem(
        model,
        recognition,
        num_particles=num_particles,
        proposal=from_r,
        hyperproposal=hyperproposal,
        chunk_size=chunk_size,
        keep=keep,
    )
    return with_dreams(awake, model, recognition, share=dream_share)


def rws_defensive(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    defence: float = 0.2,
    **options: Unpack[ParticleOptions],
) -> Estimator:
    """`rws` whose eta learns from (1 - defence) r + defence p(z) (Le et al. 2019).

    A second set of K particles: theta keeps those of r. Other arguments as in `rws`, errors as in
    `from_defensive`.
    """
    return rws(
        model,
        recognition,
        num_particles=num_particles,
        hyperproposal=from_defensive(defence),
        **options,
    )


def rws_dreg(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    **options: Unpack[ParticleOptions],
) -> Estimator:
    """`rws` whose wake-q gradient is doubly reparameterised (Tucker et al. 2019, Section 4).

    eta follows sum_k (weights_k - weights_k^2) d log w(z_k) / dz dz_k / d eta: the expectation is
    that of wake-q at this K. r must be reparameterisable. Arguments as in `rws`.
    """
    return compose(
        model,
        recognition,
        num_particles=num_particles,
        objective=expected_complete_log_likelihood,
        proposal=from_r,
        hyperobjective=path_derivative(lambda weight: weight * (1.0 - weight)),
        hyperproposal=from_r,
        **options,
    )


def wake_sleep(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    chunk_size: int | None = None,
) -> Estimator:
    """Wake-sleep (Hinton, Dayan, Frey & Neal 1995): theta learns awake, eta asleep.

    theta ascends the evidence lower bound, 1/K sum_k log p_theta(x, z_k) on particles of r; eta
    ascends log r_eta(z | x) of one dream (z, x) of the model per datapoint. No one bound is
    ascended by both.

    Args:
        model: p_theta(x, z).
        recognition: r_eta(z | x).
        num_particles: K, of theta.
        chunk_size: particles per datapoint in memory at a time.
    """
    awake = reinforce(model, recognition, num_particles=num_particles, chunk_size=chunk_size)
    return with_dreams(awake, model, recognition, share=1.0)


def with_dreams(
    estimator: Estimator,
    model: Model,
    recognition: Recognition,
    *,
    share: float = 1.0,
    num_dreams: int = 1,
) -> Estimator:
    """An estimator whose eta learns from dreams too, or from them alone.

    eta_loss = (1 - share) eta_loss + share sleep, where sleep is minus the mean over dreams
    (z, x) ~ p_theta of log r_eta(z | x): the sleep phase (Hinton et al. 1995). Dreams carry no
    gradient to theta. With share 1 the estimator's own eta_loss is never computed, nor the gradient
    of a baseline.

    Args:
        estimator: any.
        model: p_theta(x, z), which dreams.
        recognition: r_eta(z | x), of the same eta as the estimator's.
        share: of the dreams in eta's loss, from 0 to 1; 0 gives the estimator back.
        num_dreams: per datapoint.

    Raises:
        InputError: for another share, or no dreams.
    """
    if not 0.0 <= share <= 1.0:
        raise InputError(f"share is {share}: give that of the dreams in eta's loss, from 0 to 1")
    if num_dreams < 1:
        raise InputError(f"num_dreams is {num_dreams}: give at least 1 dream per datapoint")
    if share == 0.0:
        return estimator

    def log_r_of_dream(params: Params, key: Key[Array, ""]) -> Float[Array, ""]:
        z, x = lax.stop_gradient(model.sample(params.theta, key))
        return recognition.distribution(params.eta, x).log_prob(z)

    def estimate(
        params: Params, state: PyTree, key: Key[Array, ""], batch: Batch
    ) -> tuple[Estimate, PyTree]:
        key, key_dreams = jax.random.split(key)
        awake, state = estimator.estimate(params, state, key, batch)
        name = jax.vmap(
            lambda index: jax.random.split(jax.random.fold_in(key_dreams, index), num_dreams)
        )
        keys = name(batch.index).reshape(-1)
        sleep = -jnp.mean(jax.vmap(log_r_of_dream, in_axes=(None, 0))(params, keys))
        eta_loss = sleep if share == 1.0 else (1.0 - share) * awake.eta_loss + share * sleep
        return awake._replace(eta_loss=eta_loss), state

    return estimator._replace(estimate=estimate)
