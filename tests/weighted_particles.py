"""Moments of weighted particles, by NumPy in float64 and by the library."""

import jax
import jax.numpy as jnp
import numpy as np

from remjax.particles.moments import particle_moments

compiled_moments = jax.jit(particle_moments, static_argnums=3)


def oracle(log_w, particles, power):
    """(log total, ess, mean, covariance) under w^power in float64."""
    tempered_log_w = np.zeros_like(log_w) if power == 0.0 else power * log_w
    largest = tempered_log_w.max()
    w = np.exp(tempered_log_w - largest)
    mean = w @ particles / w.sum()
    centred = particles - mean
    covariance = np.einsum("k,kd,ke->de", w / w.sum(), centred, centred)
    return np.log(w.sum()) + largest, w.sum() ** 2 / np.sum(w**2), mean, covariance


def moments_of(log_w, particles, powers, exists=None):
    exists = np.ones(len(log_w)) if exists is None else exists
    arrays = (jnp.asarray(a, jnp.float32) for a in (log_w, particles, exists))
    return compiled_moments(*arrays, powers)
