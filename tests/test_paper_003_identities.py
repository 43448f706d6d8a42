"""Bachman & Precup 2015, Sections 1 and 3, by enumeration, with what is misprinted put right."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax.particles import log_mean_exp, normalize_log_weights

RNG = np.random.default_rng(0)


def table(*shape):
    """A distribution over all values of some variables."""
    numbers = RNG.gamma(0.7, size=shape)
    return numbers / numbers.sum()


def divergence(q, p):
    """KL(q || p), nats."""
    return np.sum(q * np.log(q / p))


Q, P = table(3, 4, 2), table(3, 4, 2)


def test_chain_rule_of_the_divergence():
    """Eqs. 2 and 3: the divergence of x_0 and the mean one of the others given it."""
    q_0, p_0 = Q.sum(axis=(1, 2)), P.sum(axis=(1, 2))
    rest = [divergence(Q[x] / q_0[x], P[x] / p_0[x]) for x in range(3)]
    np.testing.assert_allclose(divergence(Q, P), divergence(q_0, p_0) + q_0 @ rest)
    assert divergence(Q, P) >= divergence(q_0, p_0)


def test_the_divergence_bounds_that_of_every_variable():
    """Eq. 4 with max_i; as printed, arg max_i, it compares nats with the number of a variable."""
    others = [(1, 2), (0, 2), (0, 1)]
    each = [divergence(Q.sum(axis=axes), P.sum(axis=axes)) for axes in others]
    assert divergence(Q, P) >= max(each)
    scaled = 0.99 * P + 0.01 * Q  # nearer: the divergence falls to zero, and arg max does not
    near = 0.999 * Q + 0.001 * scaled
    each = [divergence(Q.sum(axis=axes), near.sum(axis=axes)) for axes in others]
    order = [2, 1, 0] if np.argmax(each) == 0 else [0, 1, 2]
    place = int(np.argmax([each[i] for i in order]))
    assert place >= 1
    assert max(each) <= divergence(Q, near) < place


def test_the_bound_on_the_expected_log_likelihood():
    """Eq. 5: where q(x) is the data's distribution, the divergence bounds -log p from above."""
    data = Q.sum(axis=(1, 2))
    p_x = P.sum(axis=(1, 2))
    assert divergence(Q, P) - data @ np.log(data) >= -data @ np.log(p_x)
    posterior = P / p_x[:, None, None]
    tight = data[:, None, None] * posterior
    np.testing.assert_allclose(divergence(tight, P) - data @ np.log(data), -data @ np.log(p_x))


# Of one x: p(x, z) over four values of z, and a proposal.
JOINT = 0.2 * table(4)
PROPOSAL = table(4)
LOG_P = np.log(JOINT.sum())


def tuples(k):
    """All {z_1, ..., z_k}, their probabilities under q, and log p(x, z_i) / q(z_i)."""
    z = np.array(list(itertools.product(range(4), repeat=k)))
    return z, PROPOSAL[z].prod(axis=1), np.log(JOINT[z] / PROPOSAL[z])


def weights(log_w):
    return np.asarray(normalize_log_weights(jnp.asarray(log_w, jnp.float32)), np.float64)


def entropy(w):
    return -np.sum(w * np.log(w), axis=-1)


KS = pytest.mark.parametrize("k", [1, 2, 3, 5])


@KS
def test_weights_and_the_equal_ratios(k):
    """Eqs. 10 and 13: log p(x, z_i) / (w_i q(z_i)) is the same for all i of a set."""
    z, _, log_w = tuples(k)
    w = weights(log_w)
    np.testing.assert_allclose(w, np.exp(log_w) / np.exp(log_w).sum(axis=1, keepdims=True), 1e-5)
    ratios = np.log(JOINT[z] / (w * PROPOSAL[z]))
    np.testing.assert_allclose(ratios, np.repeat(ratios[:, :1], k, axis=1), atol=1e-5)
    np.testing.assert_allclose(ratios[:, 0], np.log(np.exp(log_w).sum(axis=1)), atol=1e-5)


@KS
def test_the_bounds_with_the_missing_factor(k):
    """Eqs. 11, 12 and 14 with k w_i q for the density of what is resampled: L_k, all three.

    As printed, with w_i q, they are L_k + log k, and above log p(x) from k = 2 on.
    """
    z, q, log_w = tuples(k)
    w = weights(log_w)
    bound = q @ np.asarray(log_mean_exp(jnp.asarray(log_w, jnp.float32)), np.float64)
    eq_12 = q @ np.sum(w * np.log(JOINT[z] / (k * w * PROPOSAL[z])), axis=1)
    np.testing.assert_allclose(eq_12, bound, atol=1e-6)
    # Eq. 11: one of the set drawn by the weights, enumerated as well.
    eq_11 = sum(
        q @ (w[:, i] * np.log(JOINT[z[:, i]] / (k * w[:, i] * PROPOSAL[z[:, i]]))) for i in range(k)
    )
    np.testing.assert_allclose(eq_11, bound, atol=1e-6)
    assert bound <= LOG_P
    printed = q @ np.log(np.exp(log_w).sum(axis=1))
    np.testing.assert_allclose(printed, bound + np.log(k), atol=1e-6)
    assert (printed > LOG_P) == (k > 1)


def test_the_bound_rises_with_k():
    bounds = [q @ np.asarray(log_mean_exp(jnp.asarray(w))) for _, q, w in map(tuples, (1, 2, 3, 5))]
    assert bounds == sorted(bounds)
    assert bounds[-1] < LOG_P


@KS
def test_the_entropy_between_both_objectives(k):
    """Eqs. 21 and 23: L_k = Eq. 21 + H(w) - log k, set by set."""
    _, _, log_w = tuples(k)
    w = weights(log_w)
    eq_21 = np.sum(w * log_w, axis=1)
    l_k = np.asarray(log_mean_exp(jnp.asarray(log_w, jnp.float32)), np.float64)
    np.testing.assert_allclose(l_k, eq_21 + entropy(w) - np.log(k), atol=1e-5)


def test_equation_21_is_no_bound():
    """With many particles it tends to log p(x) + KL(p(z | x) || q), which is above log p(x)."""
    z = RNG.choice(4, 200_000, p=PROPOSAL)
    log_w = np.log(JOINT[z] / PROPOSAL[z])
    w = np.exp(log_w) / np.exp(log_w).sum()
    posterior = JOINT / JOINT.sum()
    limit = LOG_P + divergence(posterior, PROPOSAL)
    ratio = np.exp(log_w - LOG_P)
    noise = np.std(ratio * (log_w - limit)) / np.sqrt(len(z))
    assert abs(np.sum(w * log_w) - limit) < 4.5 * noise
    assert limit > LOG_P + 10 * noise


@KS
def test_gradients_are_the_same_where_the_weights_are_constant(k):
    """Eq. 22: of Eqs. 14 and 21, for any way in which the log ratios depend on parameters."""
    _, _, log_w = tuples(k)
    slopes = jnp.asarray(RNG.normal(size=(k, 3)), jnp.float32)
    f = jnp.asarray(log_w[len(log_w) // 2], jnp.float32)
    w = normalize_log_weights(f)

    def eq_14(parameters):
        return jax.nn.logsumexp(f + slopes @ parameters)

    def eq_21(parameters):
        return jnp.sum(w * (f + slopes @ parameters))

    zero = jnp.zeros(3)
    np.testing.assert_allclose(jax.grad(eq_14)(zero), jax.grad(eq_21)(zero), atol=1e-6)
    l_k = jax.grad(lambda t: log_mean_exp(f + slopes @ t))(zero)
    np.testing.assert_allclose(l_k, jax.grad(eq_21)(zero), atol=1e-6)


@KS
def test_at_fixed_samples_the_gradient_of_q_is_minus_that_of_wake_sleep(k):
    """BP-4: log w = log p - log q at fixed z, of which only -log q depends on the parameters of q.

    Eqs. 14 and 21 then have -sum w grad log q, which reweighted wake-sleep has with a plus.
    """
    z, _, log_w = tuples(k)
    some = len(log_w) // 2
    f, chosen = jnp.asarray(log_w[some], jnp.float32), jnp.asarray(z[some])
    w = normalize_log_weights(f)

    def log_q(logits):
        return jax.nn.log_softmax(logits)[chosen]

    logits = jnp.asarray(RNG.normal(size=int(np.max(z)) + 1), jnp.float32)
    fixed = f + log_q(logits)  # log p(x, z)
    eq_14 = jax.grad(lambda q: jax.nn.logsumexp(fixed - log_q(q)))(logits)
    eq_21 = jax.grad(lambda q: w @ (fixed - log_q(q)))(logits)
    wake = jax.grad(lambda q: w @ log_q(q))(logits)
    np.testing.assert_allclose(eq_14, -wake, atol=1e-6)
    np.testing.assert_allclose(eq_21, -wake, atol=1e-6)
