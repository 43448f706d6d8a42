"""The variational autoencoder: both networks ascend the evidence lower bound."""

from remjax.methods.composition import compose
from remjax.methods.objectives import evidence_lower_bound, exclusive_kl, exclusive_kl_analytic
from remjax.methods.proposals import from_r
from remjax.types import Estimator, Model, Recognition


def vae(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int,
    analytic_kl: bool = False,
    chunk_size: int | None = None,
) -> Estimator:
    """The variational autoencoder (Kingma & Welling 2014), averaged over K samples.

    theta ascends 1/K sum_k log p_theta(x, z_k), eta ascends 1/K sum_k log w(z_k(eta)) (Burda et al.
    2015, Eq. 7); the K samples lower the variance and leave the expectation as it is.

    Args:
        model: p_theta(x, z).
        recognition: r_eta(z | x), reparameterisable.
        num_particles: K, the samples averaged.
        analytic_kl: take KL(r || prior) in closed form; needs a Gaussian r and `Model.prior`.
        chunk_size: samples per datapoint in memory at a time.

    Raises:
        InputError: at the first estimate, for analytic_kl where KL(r || prior) has no closed form.
    """
    return compose(
        model,
        recognition,
        num_particles=num_particles,
        objective=evidence_lower_bound,
        proposal=from_r,
        hyperobjective=exclusive_kl_analytic if analytic_kl else exclusive_kl,
        hyperproposal=from_r,
        chunk_size=chunk_size,
    )
