"""Reweighted wake-sleep: both networks learn from weighted particles of the recognition network."""

from remjax.estimators.proposals import from_r
from remjax.estimators.rem import rem
from remjax.types import Estimator, Model, Recognition


def rws(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    chunk_size: int | None = None,
    keep: int | None = None,
) -> Estimator:
    """Reweighted wake-sleep, wake-wake (Bornschein & Bengio 2015; Le et al. 2019).

    theta ascends sum_k weights_k log p(x, z_k), eta ascends sum_k weights_k log r(z_k | x), on the
    same particles of r. It is REM v1 with s replaced by r.

    Args:
        model: p_theta(x, z).
        recognition: r_eta(z | x).
        num_particles: K.
        chunk_size: particles per datapoint in memory at a time.
        keep: particles that carry the gradient of theta. None keeps all.
    """
    return rem(
        model,
        recognition,
        num_particles=num_particles,
        proposal=from_r,
        hyperproposal=from_r,
        chunk_size=chunk_size,
        keep=keep,
    )
