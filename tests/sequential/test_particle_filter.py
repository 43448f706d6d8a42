"""The particle filter against Kalman: evidence unbiased, moments, optimal proposals, edges."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax import InputError
from remjax.distributions import Bernoulli, Categorical
from remjax.particles import resample_stratified, resample_systematic
from remjax.particles.covariances import weighted
from remjax.sequential import (
    StateSpaceModel,
    StepRecognition,
    filtering_weights,
    from_matched,
    from_r,
    linear_gaussian_model,
    linear_gaussian_recognition,
    optimal_recognition,
    particle_filter,
    smoothing_weights,
)
from tests.sequential import exact

TRUTH = exact.example()
MODEL = linear_gaussian_model(latent_size=2, data_size=3)
RECOGNITION = linear_gaussian_recognition(latent_size=2, data_size=3)
OPTIMAL = optimal_recognition(TRUTH.theta)
# Off in every direction, and wider.
ETA = {
    name: {**{leaf: own + 0.05 for leaf, own in part.items()}, "log_scale": part["log_scale"] + 0.3}
    for name, part in OPTIMAL.items()
}
X = np.asarray(MODEL.sample(TRUTH.theta, jax.random.key(3), 5)[1])
ENDED = np.concatenate([X, np.full((2, 3), np.nan, np.float32)])
GAP = X.copy()
GAP[2] = np.nan


@functools.partial(jax.jit, static_argnames=("num_particles", "options"))
def runs(keys, eta, x, num_particles, options=()):
    def one(key):
        return particle_filter(
            key, MODEL, TRUTH.theta, RECOGNITION, eta, x, num_particles, **dict(options)
        )

    return jax.vmap(one)(keys)


def options(**given):
    return tuple(sorted(given.items()))


@pytest.mark.parametrize(
    "chosen",
    [
        {"threshold": 0.0},
        {"threshold": 0.5},
        {"threshold": 1.0, "resampling": resample_stratified, "chunk_size": 3},
        {"proposal": from_matched(), "threshold": 0.5},
        {"proposal": from_matched(weighted(), share=0.2), "threshold": 1.0},
    ],
    ids=["never", "adaptive", "stratified in chunks", "s", "s weighted"],
)
@pytest.mark.parametrize("x", [X, GAP], ids=["whole", "gap"])
def test_evidence_is_unbiased(chosen, x):
    """E[Z] / p(x) = 1: five standard errors of 6,000 runs of eight particles."""
    keys = jax.random.split(jax.random.key(0), 6000)
    found = runs(keys, ETA, jnp.asarray(x), 8, options(**chosen)).log_evidence
    ratio = np.exp(np.asarray(found, np.float64) - TRUTH.posterior(x)[0])
    assert abs(ratio.mean() - 1.0) < 5 * ratio.std() / np.sqrt(6000)
    assert 0.1 < ratio.std() < 10.0


def test_optimal_proposal_of_one_step_has_no_variance():
    keys = jax.random.split(jax.random.key(0), 20)
    found = runs(keys, OPTIMAL, jnp.asarray(X[:1]), 4)
    np.testing.assert_allclose(found.log_evidence, TRUTH.posterior(X[:1])[0], rtol=2e-5)
    np.testing.assert_allclose(found.ess, 4.0, rtol=1e-4)


def test_optimal_proposal_has_the_predictive_density_as_its_factor():
    """Whatever z_t was drawn: w_2 / w_1 = p(x_2 | z_1) = N(C (A z_1 + b) + d, C Q C^T + R)."""
    found = runs(
        jax.random.split(jax.random.key(0), 3),
        OPTIMAL,
        jnp.asarray(X[:2]),
        4,
        options(threshold=0.0),
    )
    a, b = TRUTH.part("transition", "weight"), TRUTH.part("transition", "bias")
    c, d = TRUTH.part("emission", "weight"), TRUTH.part("emission", "bias")
    spread = c @ TRUTH.noise("transition") @ c.T + TRUTH.noise("emission")
    surprise = X[1] - (np.asarray(found.z[:, 0], np.float64) @ a.T + b) @ c.T - d
    square = np.einsum("...i,ij,...j", surprise, np.linalg.inv(spread), surprise)
    expected = -0.5 * (square + np.linalg.slogdet(2 * np.pi * spread)[1])
    np.testing.assert_allclose(found.log_w[:, 1] - found.log_w[:, 0], expected, rtol=1e-4)


@pytest.mark.parametrize("proposal", [from_r, from_matched()], ids=["r", "s"])
def test_moments_of_filtering_and_smoothing(proposal):
    """40 runs of 500 particles: five standard errors over the runs, and 0.01 for 1 / K."""
    keys = jax.random.split(jax.random.key(1), 40)
    found = runs(keys, ETA, jnp.asarray(X), 500, options(proposal=proposal))
    _, smoothed, covariance = TRUTH.posterior(X)

    def close(rows, expected):
        rows = np.asarray(rows, np.float64)
        error = 5 * rows.std(axis=0) / np.sqrt(len(rows)) + 0.01
        assert np.all(np.abs(rows.mean(axis=0) - expected) < error)

    weights = jax.vmap(smoothing_weights)(found)
    np.testing.assert_allclose(np.sum(weights, axis=-1), 1.0, rtol=1e-5)
    mean = np.einsum("rtk,rtkd->rtd", weights, found.z)
    close(mean, smoothed)
    second = np.einsum("rtk,rtkd,rtke->rtde", weights, found.z, found.z)
    close(second, covariance + smoothed[:, :, None] * smoothed[:, None, :])
    weights = jax.vmap(filtering_weights)(found)
    past = [TRUTH.posterior(X[: step + 1])[1][-1] for step in range(len(X))]
    close(np.einsum("rtk,rtkd->rtd", weights, found.z), np.stack(past))


def test_s_is_nearer_to_the_target_than_a_poor_r():
    """An r that is two deviations off: the particles that s makes have the larger ESS."""
    poor = jax.tree.map(lambda leaf: leaf, OPTIMAL)
    for name in poor:
        poor[name] = {**poor[name], "bias": poor[name]["bias"] + 1.0}
    keys = jax.random.split(jax.random.key(0), 100)
    ess = [
        runs(keys, poor, jnp.asarray(X), 100, options(proposal=each, threshold=1.0)).ess.mean()
        for each in (from_r, from_matched(share=0.0))
    ]
    assert ess[1] > 1.3 * ess[0]


def test_what_comes_after_the_end_changes_nothing():
    keys = jax.random.split(jax.random.key(0), 3)
    one, other = (runs(keys, ETA, jnp.asarray(x), 6) for x in (X, ENDED))
    np.testing.assert_allclose(one.log_evidence, other.log_evidence, rtol=1e-6)
    np.testing.assert_array_equal(one.z, other.z[:, :5])
    np.testing.assert_array_equal(other.active[0], [True] * 5 + [False] * 2)
    weights = jax.vmap(smoothing_weights)(other)
    np.testing.assert_allclose(jax.vmap(smoothing_weights)(one), weights[:, :5], rtol=1e-6)


def test_chunks_and_blocks_of_steps_change_no_number():
    keys, x = jax.random.split(jax.random.key(0), 2), jnp.asarray(np.tile(X, (3, 1)))
    one = runs(keys, ETA, x, 7)
    other = runs(keys, ETA, x, 7, options(chunk_size=3))
    np.testing.assert_allclose(one.log_evidence, other.log_evidence, rtol=1e-5)
    np.testing.assert_array_equal(one.resampled, other.resampled)
    assert 0 < one.resampled.sum() < one.resampled.size


@pytest.mark.parametrize("num_particles", [1, 3])
def test_sequences_without_any_observation_have_evidence_one(num_particles):
    keys = jax.random.split(jax.random.key(0), 2)
    found = runs(keys, ETA, jnp.full((3, 3), jnp.nan), num_particles)
    np.testing.assert_allclose(found.log_evidence, 0.0, atol=1e-6)
    assert np.isfinite(found.z).all()


# Latents of bits: every path can be enumerated


def hidden_markov():
    """Two states, two symbols: the evidence by the forward recursion."""
    start, move, out = np.array([0.3]), np.array([0.2, 0.9]), np.array([0.15, 0.7])

    def bits(probabilities, z):
        p = jnp.asarray(probabilities)
        chosen = p[0] + (p[1] - p[0]) * z
        return Bernoulli(jnp.log(chosen) - jnp.log1p(-chosen))

    model = StateSpaceModel(
        init=lambda _: (),
        initial=lambda _: Bernoulli(jnp.log(jnp.asarray(start / (1 - start), jnp.float32))),
        transition=lambda _, z: bits(move, z),
        emission=lambda _, z: bits(out, z),
    )
    recognition = StepRecognition(
        init=lambda _: (),
        initial=lambda _, x: Bernoulli(x - 0.5),
        transition=lambda _, z, x: Bernoulli(x + z - 1.0),
    )
    x = np.array([1.0, 0.0, 1.0, 1.0])
    forward = np.array([0.7, 0.3])
    for step, value in enumerate(x):
        if step:
            forward = forward @ np.stack([1 - move, move], axis=1)
        forward = forward * np.where(value == 1.0, out, 1 - out)
    return model, recognition, jnp.asarray(x[:, None], jnp.float32), np.log(forward.sum())


def test_bits_are_filtered_too():
    """Five standard errors of 4,000 runs."""
    model, recognition, x, log_p = hidden_markov()

    @jax.jit
    @jax.vmap
    def run(key):
        return particle_filter(key, model, (), recognition, (), x, 5).log_evidence

    found = np.asarray(run(jax.random.split(jax.random.key(0), 4000)), np.float64)
    ratio = np.exp(found - log_p)
    assert abs(ratio.mean() - 1.0) < 5 * ratio.std() / np.sqrt(4000)


def test_what_is_refused():
    model, recognition, x, _ = hidden_markov()

    def run(**given):
        arguments = jax.random.key(0), model, (), recognition, (), x, 5
        jax.eval_shape(lambda: particle_filter(*arguments, **given))

    for given, message in (
        ({"threshold": 1.5}, "threshold is 1.5: give the share of K"),
        ({"chunk_size": 0}, "chunk_size is 0: give at least 1"),
        (
            {"proposal": from_matched()},
            "s moves the mean and the scale of r, which has none or is discrete",
        ),
        ({"proposal": from_matched(), "pathwise": True}, "carry no gradient of eta: take from_r"),
        ({"pathwise": True}, "real latents|no gradient|reparameteri"),
    ):
        with pytest.raises(InputError, match=message):
            run(**given)
    with pytest.raises(InputError, match=r"share is 1\.0: give that of r"):
        from_matched(share=1.0)


def test_impossible_particles_leave_zero_evidence_and_no_nan():
    """No state emits the third symbol: log Z is -inf, the weights are zeros."""
    model, recognition, _, _ = hidden_markov()
    never = jnp.array([[0.0, 0.0, -jnp.inf]])
    model = model._replace(emission=lambda _, z: Categorical(never))
    rows = jnp.tile(jnp.array([0.0, 0.0, 1.0]), (3, 1))
    recognition = recognition._replace(
        initial=lambda _, x: Bernoulli(jnp.zeros(1)),
        transition=lambda _, z, x: Bernoulli(jnp.zeros(1)),
    )
    for threshold in (0.0, 0.5):
        found = particle_filter(
            jax.random.key(0), model, (), recognition, (), rows, 4, threshold=threshold
        )
        assert found.log_evidence == -np.inf
        for weights in (filtering_weights(found), smoothing_weights(found)):
            np.testing.assert_array_equal(weights, 0.0)


def test_ancestors_come_within_one_of_their_expected_number():
    """By the systematic comb; by strata within two."""
    keys = jax.random.split(jax.random.key(0), 50)
    for resampling, most in ((resample_systematic, 1.0), (resample_stratified, 2.0)):
        found = runs(keys, ETA, jnp.asarray(X), 20, options(threshold=1.0, resampling=resampling))
        assert found.resampled[:, 1:].all()
        weights = jax.vmap(filtering_weights)(found)[:, :-1]
        counts = np.sum(np.asarray(found.ancestors)[:, 1:, :, None] == np.arange(20), axis=2)
        assert np.abs(counts - 20 * weights).max() < most + 1e-4
