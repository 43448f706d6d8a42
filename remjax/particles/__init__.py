"""Weighted particles: their weights and moments, the E-step that streams them, sums over them."""

from remjax.particles import covariances
from remjax.particles.covariances import Covariance, MeanVariance
from remjax.particles.e_step import e_step, log_weights
from remjax.particles.matching import match
from remjax.particles.moments import Moments, weighted_covariance, weighted_mean
from remjax.particles.particle_sum import particle_sum
from remjax.particles.posterior import Particle, Posterior
from remjax.particles.weights import (
    effective_sample_size,
    log_mean_exp,
    normalize_log_weights,
    pareto_k,
    resample_multinomial,
    resample_stratified,
    resample_systematic,
)

__all__ = [
    "Covariance",
    "MeanVariance",
    "Moments",
    "Particle",
    "Posterior",
    "covariances",
    "e_step",
    "effective_sample_size",
    "log_mean_exp",
    "log_weights",
    "match",
    "normalize_log_weights",
    "pareto_k",
    "particle_sum",
    "resample_multinomial",
    "resample_stratified",
    "resample_systematic",
    "weighted_covariance",
    "weighted_mean",
]
