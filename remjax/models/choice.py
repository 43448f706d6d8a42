"""The likelihood that goes with data, and the reason for it, where a user names none."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from remjax.data.values import ValueFacts
from remjax.models.count_likelihoods import negative_binomial_likelihood, poisson_likelihood
from remjax.models.likelihoods import Likelihood, bernoulli_likelihood, gaussian_likelihood

# Counts vary more than Poissons do where the variance is so many times the mean.
_OVERDISPERSED = 1.5


class ChosenLikelihood(NamedTuple):
    """A likelihood and why it is.

    Attributes:
        name: as "gaussian".
        make: (means at which the output starts, standard deviations of the columns) -> it.
        why: in words.
    """

    name: str
    make: Callable[[Float[np.ndarray, " X"], Float[np.ndarray, " X"]], Likelihood]
    why: str

    def __str__(self) -> str:
        """As it is printed."""
        return f"{self.name} likelihood ({self.why})"


def choose_likelihood(facts: ValueFacts, *, grey: bool) -> ChosenLikelihood:
    """Bernoullis for bits and grey pixels, counts for whole numbers from 0, else Gaussians.

    Counts are a negative binomial where the variance of the median column is more than half again
    its mean, and a Poisson otherwise. Categories cannot be told from counts: ask for them.

    Args:
        facts: of the data.
        grey: whether values within [0, 1] are grey pixels, and not measurements.
    """
    span = f"from {facts.low:g} to {facts.high:g}"
    if facts.bits:
        return ChosenLikelihood("bernoulli", _bernoulli, "all values are 0 or 1")
    if grey and facts.low >= 0.0 and facts.high <= 1.0:
        return ChosenLikelihood("bernoulli", _bernoulli, "pixels from 0 to 1")
    if not facts.whole or facts.low < 0.0:
        return ChosenLikelihood("gaussian", gaussian_likelihood, f"measurements {span}")
    counted = facts.mean > 0.0
    ratio = float(np.median(np.square(facts.scale[counted]) / facts.mean[counted]))
    why = f"whole numbers {span}, their variance {ratio:.2g} times the mean"
    if ratio > _OVERDISPERSED:
        return ChosenLikelihood("negative_binomial", negative_binomial_likelihood, why)
    return ChosenLikelihood("poisson", _poisson, why)


def _bernoulli(mean: Float[np.ndarray, " X"], _: Float[np.ndarray, " X"]) -> Likelihood:
    return bernoulli_likelihood(mean)


def _poisson(mean: Float[np.ndarray, " X"], _: Float[np.ndarray, " X"]) -> Likelihood:
    return poisson_likelihood(mean)
