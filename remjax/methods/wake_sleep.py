"""Wake-sleep and reweighted wake-sleep: eta learns by maximum likelihood of particles or dreams."""

from remjax.errors import InputError
from remjax.methods.additions import with_dreams
from remjax.methods.method import Method
from remjax.methods.objectives import expected_complete_log_likelihood, path_derivative
from remjax.methods.proposals import Proposal, from_defensive, from_r
from remjax.methods.rem import rem
from remjax.methods.score_functions import reinforce
from remjax.methods.sum_weights import Number


def rws(hyperproposal: Proposal = from_r, dream_share: float = 0.0) -> Method:
    """Reweighted wake-sleep (Bornschein & Bengio 2015; Le et al. 2019).

    theta ascends sum_k w_k log p(x, z_k). eta ascends sum_k w_k log r(z_k | x) on the same
    particles (wake-q), or log r of dreams (sleep-q), or a mixture of both. With wake-q it is REM v1
    with s replaced by r.

    Args:
        hyperproposal: where the particles of eta come from, by default where those of theta do.
            Le et al. have `from_defensive(0.2)`.
        dream_share: share of the model's own samples in eta's loss, from 0 (wake-q) to 1 (sleep-q).
            One dream per datapoint.

    Raises:
        InputError: for a share that is not between 0 and 1.
    """
    if not 0.0 <= dream_share <= 1.0:
        raise InputError(
            f"dream_share is {dream_share}: give that of the dreams in eta's loss, from 0 to 1"
        )
    return with_dreams(rem(from_r, hyperproposal), dream_share)


def rws_defensive(defence: float = 0.2) -> Method:
    """`rws` whose eta learns from (1 - defence) r + defence p(z) (Le et al. 2019).

    A second set of K particles: theta keeps those of r.

    Args:
        defence: share of the prior in eta's proposal, above 0 and below 1.

    Raises:
        InputError: for another share.
    """
    return rws(from_defensive(defence))


def times_complement(weight: Number) -> Number:
    """w (1 - w)."""
    return weight * (1.0 - weight)


rws_dreg = Method(
    expected_complete_log_likelihood, from_r, path_derivative(times_complement), from_r
)
"""`rws` whose wake-q gradient is doubly reparameterised (Tucker et al. 2019, Section 4).

eta follows sum_k (w_k - w_k^2) d log w(z_k) / dz dz_k / d eta: the expectation is that of wake-q at
this K. r must be reparameterisable.
"""

wake_sleep = with_dreams(reinforce)
"""Wake-sleep (Hinton, Dayan, Frey & Neal 1995): theta learns awake, eta asleep.

theta ascends the evidence lower bound, 1/K sum_k log p_theta(x, z_k) on particles of r; eta ascends
log r_eta(z | x) of one dream (z, x) of the model per datapoint. No one bound is ascended by both.
"""
