"""The importance-weighted autoencoder: both networks ascend a tighter bound."""

from remjax.estimators.composition import compose
from remjax.estimators.objectives import expected_complete_log_likelihood, importance_weighted_bound
from remjax.estimators.proposals import from_r
from remjax.types import Estimator, Model, Recognition


def iwae(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    chunk_size: int | None = None,
    keep: int | None = None,
) -> Estimator:
    """The importance-weighted autoencoder (Burda, Grosse & Salakhutdinov 2015, Eq. 14).

    Both networks ascend L_K = E[log 1/K sum_k w_k]; eta pathwise through z_k(eta).

    Args:
        model: p_theta(x, z).
        recognition: r_eta(z | x), reparameterisable.
        num_particles: K.
        chunk_size: particles per datapoint in memory at a time.
        keep: particles that carry the gradient; 1 is the trick of Section 3.1. None keeps all.
    """
    return compose(
        model,
        recognition,
        num_particles=num_particles,
        objective=expected_complete_log_likelihood,
        proposal=from_r,
        hyperobjective=importance_weighted_bound,
        hyperproposal=from_r,
        chunk_size=chunk_size,
        keep=keep,
    )
