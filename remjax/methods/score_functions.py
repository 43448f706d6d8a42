"""Score-function methods: eta follows log r, times a learning signal; no path through z.

They need samples of r and its log-density, so they serve discrete latents as well as real ones.
What they differ in is the learning signal (`signals`).
"""

import itertools

import numpy as np

from remjax.errors import InputError
from remjax.methods.method import Method
from remjax.methods.objectives import (
    evidence_lower_bound,
    expected_complete_log_likelihood,
    score_function,
)
from remjax.methods.proposals import from_r
from remjax.methods.signals import (
    AboveTheBoundOfTheOthers,
    AboveTheOthers,
    BoundWithout,
    LogWeight,
    PathToPosterior,
    StandIn,
    geometric_mean,
)
from remjax.methods.sums import Sum, log_joint, log_r

reinforce = Method(evidence_lower_bound, from_r, score_function(LogWeight()), from_r)
"""The bare score-function estimator of the evidence lower bound (Williams 1992).

eta follows 1/K sum_k log w_k grad log r_eta(z_k | x): unbiased, and of a variance that only toy
models bear.
"""

rloo = Method(evidence_lower_bound, from_r, score_function(AboveTheOthers()), from_r)
"""REINFORCE with the leave-one-out baseline (Kool, van Hoof & Welling 2019).

Each particle's log w_k is measured against the mean of the others'. Unbiased for the evidence lower
bound; nothing to learn and nothing to tune. It takes two particles or more.
"""


def vimco(stand_in: StandIn = geometric_mean) -> Method:
    """Variational inference for Monte Carlo objectives (Mnih & Rezende 2016, Eqs. 5-9).

    Both networks ascend L_K. eta follows sum_k (L - L_-k) grad log r(z_k) + sum_k w_k grad log w_k,
    unbiased: L_-k knows nothing of particle k. Everything in log space, streamed. It takes two
    particles or more.

    Args:
        stand_in: mean of the other weights that replaces a particle's own.
    """
    signal = BoundWithout(stand_in)
    return Method(expected_complete_log_likelihood, from_r, score_function(signal), from_r)


def ovis(gamma: float = 1.0) -> Method:
    """The asymptotically optimal control variate of L_K's score (Lievin et al. 2020, Eq. 17).

    Both networks ascend L_K, eta by sum_k (d_k - c_k) grad log r(z_k). gamma = 1 is for weights
    that are spread over many particles: the signal-to-noise ratio of eta grows with K, with a bias
    of sum_k w_k grad log r(z_k), the direction of `rws`. gamma = 0 is for weights that rest on a
    few: unbiased, as c_k knows nothing of particle k. It takes two particles or more.

    Args:
        gamma: share of a particle's own weight in its control variate, from 0 to 1.

    Raises:
        InputError: for another gamma.
    """
    if not 0.0 <= gamma <= 1.0:
        raise InputError(f"gamma is {gamma}: give a number from 0 to 1")
    signal = AboveTheBoundOfTheOthers(gamma)
    return Method(expected_complete_log_likelihood, from_r, score_function(signal), from_r)


def tvo(num_partitions: int = 5, first_beta: float = 0.025) -> Method:
    """Both networks ascend the thermodynamic variational objective (Masrani, Le & Wood 2019).

    sum_j (beta_{j+1} - beta_j) E_j[log w], a left Riemann sum of log p(x) and so a lower bound of
    it, where E_j is over pi_j, proportional to r^(1 - beta_j) p^beta_j: the evidence lower bound is
    its first step. One set of particles of r serves all steps, with weights v_kj proportional to
    w_k^beta_j. The gradient of a step is E_j[grad log w] plus the covariance of grad log pi_j with
    log w (their Eq. 12), times K / (K - 1) as for any covariance of K draws. The normalised weights
    make a bias of order 1/K, and none in the first step. It takes two particles or more.

    Args:
        num_partitions: J, steps from r to the posterior; 1 is the evidence lower bound.
        first_beta: beta_1, power of the weights after the first step, between 0 and 1; beta_0 is 0,
            and from beta_1 to beta_J = 1 the steps are even in log beta. Of no effect with one
            partition.

    Raises:
        InputError: for no partition, or a beta_1 that is not between 0 and 1.
    """
    if num_partitions < 1:
        raise InputError(f"num_partitions is {num_partitions}: give 1 or more")
    if not 0.0 < first_beta < 1.0:
        raise InputError(f"first_beta is {first_beta}: give a number above 0 and below 1")
    later = np.geomspace(first_beta, 1.0, num_partitions) if num_partitions > 1 else [1.0]
    betas = (0.0, *map(float, later))
    steps = tuple((low, high - low) for low, high in itertools.pairwise(betas))
    weight, signal = (PathToPosterior(steps, of_theta=of_theta) for of_theta in (True, False))
    return Method(Sum(weight, log_joint), from_r, Sum(signal, log_r), from_r)
