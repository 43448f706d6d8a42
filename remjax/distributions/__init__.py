"""What latents are drawn from and scored by, and what data are scored by.

Distributions of one kind (`gaussian`, `bernoulli`, `categorical`), those made of others (`layers`,
`mixtures`), numbers in the place of bits (`relaxations`, `smoothings`), scored as if they were
bits or by a density of their own, the likelihoods of an output layer, and corruptions of data.
"""

from remjax.distributions.base import Distribution, Drawn
from remjax.distributions.bernoulli import Bernoulli
from remjax.distributions.categorical import Categorical
from remjax.distributions.corruptions import (
    Corruption,
    Flips,
    GaussianNoise,
    Masking,
    SaltAndPepper,
)
from remjax.distributions.gaussian import DiagonalGaussian, FullGaussian
from remjax.distributions.layers import Groups, Layers, Unflattened
from remjax.distributions.likelihoods import bernoulli_log_likelihood, gaussian_log_likelihood
from remjax.distributions.mixtures import Balanced, Mixture, Stratified
from remjax.distributions.relaxations import (
    Concrete,
    PiecewiseLinear,
    Relaxation,
    Smooth,
    StraightThrough,
)
from remjax.distributions.relaxed_bernoulli import RelaxedBernoulli, bits
from remjax.distributions.smoothed_bernoulli import SmoothedBernoulli
from remjax.distributions.smoothings import (
    OverlappingExponentials,
    PowerFunction,
    Smoothing,
    SpikeAndExponential,
    as_smoothing,
)
from remjax.distributions.undirected_gaussian import UndirectedGaussian

__all__ = [
    "Balanced",
    "Bernoulli",
    "Categorical",
    "Concrete",
    "Corruption",
    "DiagonalGaussian",
    "Distribution",
    "Drawn",
    "Flips",
    "FullGaussian",
    "GaussianNoise",
    "Groups",
    "Layers",
    "Masking",
    "Mixture",
    "OverlappingExponentials",
    "PiecewiseLinear",
    "PowerFunction",
    "Relaxation",
    "RelaxedBernoulli",
    "SaltAndPepper",
    "Smooth",
    "SmoothedBernoulli",
    "Smoothing",
    "SpikeAndExponential",
    "StraightThrough",
    "Stratified",
    "UndirectedGaussian",
    "Unflattened",
    "as_smoothing",
    "bernoulli_log_likelihood",
    "bits",
    "gaussian_log_likelihood",
]
