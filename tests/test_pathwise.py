"""Tier 3: expected gradients of the pathwise methods, on the linear-Gaussian model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax.errors import InputError
from remjax.methods.composition import compose
from remjax.methods.elbo import vae
from remjax.methods.groups import ciwae, miwae, piwae
from remjax.methods.importance_weighted import dreg, iwae, stl
from remjax.methods.objectives import (
    exclusive_kl,
    expected_complete_log_likelihood,
    importance_weighted_bound,
)
from remjax.methods.proposals import from_defensive, from_pooled, from_r, from_s
from remjax.methods.renyi import vr
from remjax.methods.wake_sleep import rws, rws_dreg
from remjax.particles.e_step import e_step, particle_sum
from remjax.types import Batch
from tests import linear_gaussian
from tests.test_linear_gaussian import assert_mean

TRUTH = linear_gaussian.example()
MODEL = linear_gaussian.model(TRUTH)
X = jnp.asarray(TRUTH.sample(0, 1)[0], jnp.float32)
ETA = {name: leaf + 0.3 for name, leaf in TRUTH.inclusive_eta.items()}


def gradients_of(recognition, eta, count, **methods):
    """Rows of gradients, one per key, of each (method, num_particles, options), in float64."""
    estimators = {
        name: method(MODEL, recognition, num_particles=num_particles, **options)
        for name, (method, num_particles, options) in methods.items()
    }

    def loss(params, key, estimator):
        estimate, _ = estimator.estimate(params, (), key, Batch(X[None], jnp.zeros(1, int)))
        return estimate.theta_loss + estimate.eta_loss

    @jax.jit
    @jax.vmap
    def run(key):
        params = TRUTH.params(eta)
        return {name: jax.grad(loss)(params, key, each) for name, each in estimators.items()}

    rows = run(jax.random.split(jax.random.key(1), count))
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), rows)


def assert_same(one, other):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), one, other)


def assert_same_mean(one, other):
    """Five standard errors of the differences, which are not zero; no bias beyond rounding."""
    differences = jax.tree.map(np.subtract, one, other)
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape[1:]), differences)
    assert_mean(differences, zeros, bias=1e-5)
    assert max(leaf.std() for leaf in jax.tree.leaves(differences)) > 1e-2


def test_path_derivatives_vanish_draw_by_draw_at_the_exact_posterior():
    exact = linear_gaussian.full_recognition(TRUTH)
    methods = {"dreg": (dreg, 4, {}), "stl": (stl, 4, {}), "rws_dreg": (rws_dreg, 4, {})}
    for rows in gradients_of(exact, TRUTH.exact_eta, 20, **methods).values():
        for leaf in jax.tree.leaves(rows.eta):
            np.testing.assert_allclose(leaf, 0.0, atol=1e-4)


def test_path_derivatives_have_the_expectation_of_the_plain_gradients():
    """4,000 keys, both on the same particles; theta's gradients are the same draw by draw."""
    rows = gradients_of(
        linear_gaussian.diagonal_recognition(TRUTH),
        ETA,
        4000,
        iwae=(iwae, 4, {}),
        dreg=(dreg, 4, {}),
        rws=(rws, 4, {}),
        rws_dreg=(rws_dreg, 4, {}),
        vae=(vae, 1, {}),
        stl=(stl, 1, {}),
    )
    for one, other in (("dreg", "iwae"), ("rws_dreg", "rws"), ("stl", "vae")):
        assert_same_mean(rows[one].eta, rows[other].eta)
        assert_same(rows[one].theta, rows[other].theta)


def test_bounds_between_the_lower_and_the_importance_weighted_one():
    """CIWAE and the ends of VR, draw by draw; groups in expectation, 2,000 keys."""
    rows = gradients_of(
        linear_gaussian.diagonal_recognition(TRUTH),
        ETA,
        2000,
        vae=(vae, 6, {}),
        iwae=(iwae, 6, {}),
        iwae_2=(iwae, 2, {}),
        ciwae=(ciwae, 6, {"share": 0.25}),
        vr_0=(vr, 6, {"alpha": 0.0}),
        vr_1=(vr, 6, {"alpha": 1.0}),
        miwae=(miwae, 6, {"num_groups": 3}),
        piwae=(piwae, 6, {"num_groups": 3}),
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


@pytest.mark.parametrize("hyperproposal", [from_s, from_pooled, from_defensive(0.2)])
@pytest.mark.parametrize("hyperobjective", [importance_weighted_bound, exclusive_kl])
def test_no_path_leads_to_the_particles_of_another_law(hyperproposal, hyperobjective):
    estimator = compose(
        MODEL,
        linear_gaussian.diagonal_recognition(TRUTH),
        num_particles=4,
        objective=expected_complete_log_likelihood,
        proposal=from_r,
        hyperobjective=hyperobjective,
        hyperproposal=hyperproposal,
    )
    batch = Batch(X[None], jnp.zeros(1, int))
    with pytest.raises(InputError, match="choose hyperproposal=from_r"):
        jax.eval_shape(estimator.estimate, TRUTH.params(ETA), (), jax.random.key(0), batch)
