"""Functions of unnormalised log-weights, the particles on the last axis.

log_w_k = log p(x, z_k) - log q(z_k), in nats. Particles with log_w = -inf are impossible and weigh
nothing. A datapoint all of whose particles are impossible has a defined answer everywhere: weights
zero, log-evidence -inf, effective sample size 0. A log-weight of NaN or +inf, which no density
gives, makes NaN: it is never hidden, but by the resampled indices, which cannot be NaN.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key


def finite_maximum(log_w: Float[Array, "*batch K"]) -> Float[Array, "*batch 1"]:
    """The largest log-weight, or 0 where all are -inf, so that subtracting it never gives NaN."""
    largest = jnp.max(log_w, axis=-1, keepdims=True)
    return lax.stop_gradient(jnp.where(largest == -jnp.inf, 0.0, largest))


def normalize_log_weights(log_w: Float[Array, "*batch K"]) -> Float[Array, "*batch K"]:
    """Self-normalised weights w_k / sum_j w_j (Dieng & Paisley 2019, Eq. 9).

    Args:
        log_w: unnormalised log-weights, nats.

    Returns:
        Weights that sum to one over the last axis; all zero where every log_w is -inf, so that
        such a datapoint contributes nothing. Gradients flow as through a softmax.
    """
    w = jnp.exp(log_w - finite_maximum(log_w))
    total = jnp.sum(w, axis=-1, keepdims=True)
    return w / jnp.where(total == 0.0, 1.0, total)


def log_mean_exp(log_w: Float[Array, "*batch K"]) -> Float[Array, "*batch"]:
    """log 1/K sum_k w_k, the importance-sampling estimate of the log-evidence, in nats.

    Its expectation is L_K (Burda et al. 2015, Eq. 8). Returns -inf where every log_w is -inf.
    Gradients are the normalised weights.
    """
    largest = finite_maximum(log_w)
    total = jnp.sum(jnp.exp(log_w - largest), axis=-1)
    positive = total > 0.0
    log_total = jnp.where(positive, jnp.log(jnp.where(positive, total, 1.0)), -jnp.inf)
    # `positive` is False for NaN, which must come out as it went in.
    log_total = jnp.where(jnp.isnan(total), total, log_total)
    return log_total + jnp.squeeze(largest, -1) - math.log(log_w.shape[-1])


def effective_sample_size(log_w: Float[Array, "*batch K"]) -> Float[Array, "*batch"]:
    """1 / sum_k weights_k^2, between 1 and K; 0 where every log_w is -inf."""
    square = jnp.sum(jnp.square(normalize_log_weights(log_w)), axis=-1)
    return jnp.where(square == 0.0, 0.0, 1.0 / jnp.where(square == 0.0, 1.0, square))


def resample_multinomial(
    key: Key[Array, ""], log_w: Float[Array, " K"], num_samples: int
) -> Int[Array, " M"]:
    """Indices of `num_samples` independent draws, each particle with probability weights_k.

    Consumes the key. Uniform over the particles where every log_w is -inf.
    """
    return _positions_to_indices(jax.random.uniform(key, (num_samples,)), log_w)


def resample_systematic(
    key: Key[Array, ""], log_w: Float[Array, " K"], num_samples: int
) -> Int[Array, " M"]:
    """Indices drawn by one uniform and a comb: particle k comes floor or ceil of M weights_k times.

    The expected count of particle k is M weights_k (Kitagawa 1996), both but for rounding, which in
    float32 shows where M is in the hundred thousands. Sorted. Consumes the key. Uniform over the
    particles where every log_w is -inf.
    """
    positions = (jnp.arange(num_samples) + jax.random.uniform(key)) / num_samples
    return _positions_to_indices(positions, log_w)


def resample_stratified(
    key: Key[Array, ""], log_w: Float[Array, " K"], num_samples: int
) -> Int[Array, " M"]:
    """Indices by one uniform in each of M even parts of [0, 1) (Kitagawa 1996).

    Particle k comes fewer than two times more or less than M weights_k, its expected count. Sorted.
    Consumes the key. Uniform over the particles where every log_w is -inf.
    """
    uniforms = jax.random.uniform(key, (num_samples,))
    return _positions_to_indices((jnp.arange(num_samples) + uniforms) / num_samples, log_w)


def _positions_to_indices(
    positions: Float[Array, " M"], log_w: Float[Array, " K"]
) -> Int[Array, " M"]:
    weights = normalize_log_weights(log_w)
    weights = jnp.where(jnp.sum(weights) == 0.0, jnp.ones_like(weights), weights)
    cumulative = jnp.cumsum(weights)
    # Scaling by the computed total keeps rounding from pushing a position beyond the last particle;
    # side="right" never lands on a particle of zero weight.
    indices = jnp.searchsorted(cumulative, positions * cumulative[-1], side="right")
    last_possible = log_w.shape[-1] - 1 - jnp.argmax(weights[::-1] > 0.0)
    return jnp.minimum(indices, last_possible)


def pareto_k(log_w: Float[Array, "*batch K"]) -> Float[Array, "*batch"]:
    """Pareto k-hat of the largest weights (Vehtari, Simpson, Gelman, Yao & Gabry 2024).

    The largest min(K / 5, 3 sqrt(K)) weights are fitted by a generalised Pareto distribution with
    the estimator of Zhang & Stephens (2009) and the weak prior that PSIS puts on k (10 pseudo
    observations at 0.5). Below 0.5 the estimate of the evidence has finite variance in practice,
    above 0.7 it is not to be trusted.

    Returns:
        k-hat, dimensionless; +inf where fewer than five tail weights above the cutoff leave nothing
        to fit (K below 21, all weights equal, or the weight all on a few particles; the effective
        sample size separates these). Carries no gradient.
    """
    return jnp.vectorize(_pareto_k, signature="(k)->()")(lax.stop_gradient(log_w))


def _pareto_k(log_w: Float[Array, " K"]) -> Float[Array, ""]:
    num_particles = log_w.shape[-1]
    tail = math.ceil(min(num_particles / 5, 3 * math.sqrt(num_particles)))
    if tail < 5:
        return jnp.full((), jnp.inf, log_w.dtype)
    largest = lax.top_k(log_w - finite_maximum(log_w), tail + 1)[0]
    # exp(a) - exp(b) = exp(b) expm1(a - b) keeps the small excesses of float32.
    cutoff = jnp.maximum(largest[-1], jnp.log(jnp.finfo(log_w.dtype).tiny))
    excess = jnp.exp(cutoff) * jnp.expm1(jnp.maximum(largest[:-1] - cutoff, 0.0))
    n = jnp.sum(excess > 0.0)
    k = _fit_generalized_pareto(excess[::-1], n)
    return jnp.where(jnp.any(jnp.isnan(log_w)), jnp.nan, jnp.where(n < 5, jnp.inf, k))


def _fit_generalized_pareto(excess: Float[Array, " T"], n: Int[Array, ""]) -> Float[Array, ""]:
    """Zhang & Stephens' profile-posterior mean of k; the last n of the ascending `excess` count."""
    size = excess.shape[0]
    counts = jnp.arange(size) >= size - n
    n = jnp.maximum(n, 5)
    quartile = excess[size - n + (n / 4 + 0.5).astype(int) - 1]
    scaled = excess / jnp.where(excess[-1] > 0.0, excess[-1], 1.0)
    quartile = jnp.maximum(quartile / jnp.where(excess[-1] > 0.0, excess[-1], 1.0), 1e-30)

    grid = 30 + math.isqrt(size)
    grid_size = 30 + jnp.sqrt(n.astype(excess.dtype)).astype(int)
    place = jnp.arange(1, grid + 1)
    # b = -k / sigma on Zhang & Stephens' grid, for excesses scaled to a maximum of one; 0 is no
    # point of it and marks the places beyond its end.
    b = 1.0 + (1.0 - jnp.sqrt(grid_size / (place - 0.5))) / (3.0 * quartile)
    b = jnp.where(place <= grid_size, b, 0.0)

    def k_of(b: Float[Array, ""]) -> Float[Array, ""]:
        return jnp.sum(jnp.where(counts, jnp.log1p(-b * scaled), 0.0)) / n

    k = jax.vmap(k_of)(b)
    ratio = -b / jnp.where(k == 0.0, 1.0, k)
    log_profile = n * (jnp.log(jnp.where(ratio > 0.0, ratio, 1.0)) - k - 1.0)
    log_profile = jnp.where(ratio > 0.0, log_profile, -jnp.inf)
    b_mean = jnp.sum(normalize_log_weights(log_profile) * b)
    prior_counts, prior_k = 10.0, 0.5
    return (n * k_of(b_mean) + prior_counts * prior_k) / (n + prior_counts)
