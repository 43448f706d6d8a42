"""The variational autoencoder: both networks ascend the evidence lower bound."""

from remjax.methods.method import Method
from remjax.methods.objectives import evidence_lower_bound, exclusive_kl, exclusive_kl_analytic
from remjax.methods.proposals import from_r


def vae(analytic_kl: bool = False) -> Method:
    """The variational autoencoder (Kingma & Welling 2014), averaged over K samples.

    theta ascends 1/K sum_k log p_theta(x, z_k), eta ascends 1/K sum_k log w(z_k(eta)) (Burda et al.
    2015, Eq. 7); the K samples lower the variance and leave the expectation as it is.

    Args:
        analytic_kl: take KL(r || prior) in closed form and not by particles; it needs a Gaussian r
            and `Model.prior`, or the first estimate raises an InputError.
    """
    hyperobjective = exclusive_kl_analytic if analytic_kl else exclusive_kl
    return Method(evidence_lower_bound, from_r, hyperobjective, from_r)
