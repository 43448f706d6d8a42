"""Tier 3: expected gradients of the pathwise methods, on the linear-Gaussian model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax import Batch, InputError, Particles, e_step, make_estimator
from remjax.methods import (
    Method,
    ciwae,
    dreg,
    exclusive_kl,
    expected_complete_log_likelihood,
    from_defensive,
    from_pooled,
    from_r,
    from_s,
    importance_weighted_bound,
    iwae,
    miwae,
    piwae,
    rem_dreg,
    rem_pooled,
    rws,
    rws_dreg,
    stl,
    vae,
    vr,
)
from remjax.particles import particle_sum
from remjax.particles.covariances import tempered_with_mean
from tests import linear_gaussian
from tests.gradients import assert_same, assert_same_mean, gradients_of_each

TRUTH = linear_gaussian.example()
MODEL = linear_gaussian.model(TRUTH)
X = jnp.asarray(TRUTH.sample(0, 1)[0], jnp.float32)
ETA = {name: leaf + 0.3 for name, leaf in TRUTH.inclusive_eta.items()}


def rows_of(recognition, eta, count, **methods):
    """Rows of gradients, one per key, of each (method, number of particles)."""
    estimators = {
        name: make_estimator(MODEL, recognition, method, Particles(num_particles))
        for name, (method, num_particles) in methods.items()
    }
    keys = jax.random.split(jax.random.key(1), count)
    return gradients_of_each(**estimators)(TRUTH.params(eta), X, keys)


def test_path_derivatives_vanish_draw_by_draw_at_the_exact_posterior():
    exact = linear_gaussian.full_recognition(TRUTH)
    methods = {"dreg": (dreg, 4), "stl": (stl, 4), "rws_dreg": (rws_dreg, 4)}
    methods["rem_dreg"] = (rem_dreg(), 4)
    for rows in rows_of(exact, TRUTH.exact_eta, 20, **methods).values():
        for leaf in jax.tree.leaves(rows.eta):
            np.testing.assert_allclose(leaf, 0.0, atol=1e-4)


def test_path_derivatives_have_the_expectation_of_the_plain_gradients():
    """4,000 keys, both on the same particles; theta's gradients are the same draw by draw."""
    rows = rows_of(
        linear_gaussian.diagonal_recognition(TRUTH),
        ETA,
        4000,
        iwae=(iwae, 4),
        dreg=(dreg, 4),
        rem_dreg=(rem_dreg(), 4),
        rem_pooled=(rem_pooled(tempered_with_mean()), 4),
        rws=(rws(), 4),
        rws_dreg=(rws_dreg, 4),
        vae=(vae(), 1),
        stl=(stl, 1),
    )
    for one, other in (("dreg", "iwae"), ("rws_dreg", "rws"), ("stl", "vae")):
        assert_same_mean(rows[one].eta, rows[other].eta)
        assert_same(rows[one].theta, rows[other].theta)
    # theta learns from REM's particles, eta as in DReG: draw by draw.
    assert_same(rows["rem_dreg"].theta, rows["rem_pooled"].theta)
    assert_same(rows["rem_dreg"].eta, rows["dreg"].eta)


def test_bounds_between_the_lower_and_the_importance_weighted_one():
    """CIWAE and the ends of VR, draw by draw; groups in expectation, 2,000 keys."""
    rows = rows_of(
        linear_gaussian.diagonal_recognition(TRUTH),
        ETA,
        2000,
        vae=(vae(), 6),
        iwae=(iwae, 6),
        iwae_2=(iwae, 2),
        ciwae=(ciwae(0.25), 6),
        vr_0=(vr(0.0), 6),
        vr_1=(vr(1.0), 6),
        miwae=(miwae(3), 6),
        piwae=(piwae(3), 6),
    )
    assert_same(rows["vr_0"], rows["iwae"])
    assert_same(rows["vr_1"], rows["vae"])
    blend = jax.tree.map(lambda a, b: 0.25 * a + 0.75 * b, rows["vae"], rows["iwae"])
    assert_same(rows["ciwae"], blend)
    assert_same(rows["piwae"].eta, rows["miwae"].eta)
    assert_same_mean(rows["piwae"].theta, rows["iwae"].theta)
    assert_same_mean(rows["miwae"], rows["iwae_2"])


def test_the_bound_is_the_surrogate_plus_the_entropy_of_resampling(key):
    """log 1/K sum w = sum w~ log w + H(w~) - log K (Bachman & Precup 2015, Eqs. 13 and 21).

    As printed, without the - log K, the left side is no bound.
    """
    recognition = linear_gaussian.diagonal_recognition(TRUTH)
    r, joint = recognition.distribution(ETA, X), MODEL.joint(TRUTH.theta, X)

    @jax.jit
    def run(key):
        posterior = e_step(key, joint, r, 7, chunk_size=3)

        def summand(particle):
            entropy = -particle.weight * jnp.log(particle.weight)
            return particle.weight * particle.log_w, entropy

        return posterior.log_evidence, *particle_sum(posterior, joint, summand)

    bound, surrogate, entropy = run(key)
    np.testing.assert_allclose(bound, surrogate + entropy - np.log(7), rtol=1e-5)
    assert 0.1 < entropy < np.log(7)


@pytest.mark.parametrize("hyperproposal", [from_s(), from_pooled(), from_defensive(0.2)])
@pytest.mark.parametrize("hyperobjective", [importance_weighted_bound, exclusive_kl])
def test_no_path_leads_to_the_particles_of_another_distribution(hyperproposal, hyperobjective):
    method = Method(expected_complete_log_likelihood, from_r, hyperobjective, hyperproposal)
    recognition = linear_gaussian.diagonal_recognition(TRUTH)
    estimator = make_estimator(MODEL, recognition, method, Particles(4))
    batch = Batch(X[None], jnp.zeros(1, int))
    with pytest.raises(InputError, match="choose hyperproposal=from_r"):
        jax.eval_shape(estimator.estimate, TRUTH.params(ETA), (), jax.random.key(0), batch)
