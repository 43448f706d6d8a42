"""Warm-up of the KL term: what each method then ascends, and that it is itself in the end.

Expectations for a Gaussian are by Gauss-Hermite quadrature over the noise of both particles; those
for bits are in `experiments.enumeration`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.enumeration.tiny_networks import X, gradient_of
from remjax import Batch, Particles, make_estimator
from remjax.errors import InputError
from remjax.methods import (
    ciwae,
    disarm,
    dreg,
    iwae,
    nvil,
    rem_v1,
    rws_dreg,
    stl,
    vae,
    vr,
    wake_sleep,
    warm_up,
)
from remjax.methods.warm_up import WarmUpState
from remjax.types import Params, Recognition
from tests.methods.test_contract import CASES, FAMILIES, IMAGES, NETWORKS, cases
from tests.quadrature import ETA, MASS, MODEL, NODES, PARAMS, expected, of_noise

UPDATES, LAMBDA = 10, 0.3


def after(updates, inner=()):
    return WarmUpState(inner, jnp.asarray(updates, jnp.int32))


def assert_close(gradient, expected, atol=2e-5):
    pairs = zip(jax.tree.leaves(gradient), jax.tree.leaves(expected), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one, -other, atol=atol)


def annealed(params, noise):
    """log w of both particles, with every gradient."""
    r, joint = of_noise(params.eta, noise), MODEL.joint(params.theta, X)
    return jax.vmap(
        lambda z: joint.log_likelihood(z) + LAMBDA * (joint.log_prior(z) - r.log_prob(z))
    )(jax.vmap(r.rsample)(noise))


def elbo_of(log_w):
    return jnp.mean(log_w)


def bound_of(log_w):
    return jax.nn.logsumexp(log_w) - jnp.log(2.0)


def renyi_of(log_w):
    return 2.0 * (jax.nn.logsumexp(0.5 * log_w) - jnp.log(2.0))


def combined_of(log_w):
    return 0.5 * (elbo_of(log_w) + bound_of(log_w))


@pytest.mark.parametrize(
    ("method", "objective"),
    [
        (vae(), elbo_of),
        (vae(analytic_kl=True), elbo_of),
        (iwae, bound_of),
        (dreg, bound_of),
        (vr(0.5), renyi_of),
        (ciwae(), combined_of),
        (rws_dreg, None),
    ],
    ids=["vae", "vae analytic", "iwae", "dreg", "vr", "ciwae", "rws_dreg"],
)
def test_pathwise_methods_are_unbiased_for_the_annealed_bound(method, objective):
    @jax.jit
    def both(params):
        return gradient_at(params), claimed(params)

    def gradient_at(params):
        def of_pair(noise):
            recognition = Recognition(lambda _: ETA, lambda eta, _: of_noise(eta, noise))
            estimator = make_estimator(MODEL, recognition, warm_up(method, UPDATES), Particles(2))
            return gradient_of(estimator, params, after(LAMBDA * UPDATES))

        return expected(of_pair)

    def claimed(params):
        if objective is not None:
            return jax.grad(lambda p: expected(lambda noise: objective(annealed(p, noise))))(params)

        # The score of r under the annealed weights, for eta; L_K for theta.
        def of_pair(params, noise):
            z = jax.lax.stop_gradient(jax.vmap(of_noise(params.eta, noise).rsample)(noise))
            weights = jax.lax.stop_gradient(jax.nn.softmax(annealed(params, noise)))
            return weights @ jax.vmap(of_noise(params.eta, noise).log_prob)(z)

        of_theta = jax.grad(lambda p: expected(lambda noise: bound_of(annealed(p, noise))))(params)
        of_eta = jax.grad(lambda p: expected(lambda noise: of_pair(p, noise)))(params)
        return Params(of_theta.theta, of_eta.eta)

    gradient, exact = both(PARAMS)
    assert_close(gradient, exact, atol=1e-4)


def test_stl_is_unbiased_at_one_particle():
    """-lambda times the score has the mean zero, as log w itself has it."""
    noise = jnp.asarray(NODES, jnp.float32)[:, None, None]
    mass = jnp.asarray(MASS / MASS.sum(), jnp.float32)

    @jax.jit
    def both(params):
        def of_one(noise):
            recognition = Recognition(lambda _: ETA, lambda eta, _: of_noise(eta, noise))
            estimator = make_estimator(MODEL, recognition, warm_up(stl, UPDATES), Particles(1))
            return gradient_of(estimator, params, after(LAMBDA * UPDATES))

        def elbo(params):
            return mass @ jax.vmap(lambda noise: jnp.sum(annealed(params, noise)))(noise)

        gradients = jax.vmap(of_one)(noise)
        mean = jax.tree.map(lambda leaf: jnp.tensordot(mass, leaf, 1), gradients)
        return mean, jax.grad(elbo)(params)

    assert_close(*both(PARAMS), atol=1e-4)


IN_EVERY_RUN = {
    "gaussian": {"vae analytic", "rem_pooled keep in chunks"},
    "layers of bits": {"nvil"},
    "groups of machines": {"rem_v1 keep"},
}


@cases(default=IN_EVERY_RUN, exhaustive=FAMILIES)
def test_in_the_end_a_method_is_itself(latents, name):
    """Losses, metrics and gradients, but for the rounding of log w."""
    method, particles = CASES[latents][name]
    batch, key = Batch(IMAGES, jnp.arange(len(IMAGES))), jax.random.key(3)
    plain = make_estimator(*NETWORKS[latents], method, particles)
    warm = make_estimator(*NETWORKS[latents], warm_up(method, UPDATES), particles)
    params, state = plain.init(jax.random.key(1))
    again, at_first = warm.init(jax.random.key(1))
    for one, other in zip(jax.tree.leaves(params), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(one, other)
    assert at_first.updates == 0

    @jax.jit
    def results(params):
        def losses(params, estimator, state):
            estimate, new = estimator.estimate(params, state, key, batch)
            return estimate.theta_loss + estimate.eta_loss, (estimate, new)

        both = (plain, state), (warm, at_first._replace(updates=jnp.asarray(UPDATES, jnp.int32)))
        return [jax.grad(losses, has_aux=True)(params, *one) for one in both]

    (gradient, (estimate, new)), (in_the_end, (same, kept)) = results(params)
    assert same.metrics.pop("kl_weight") == 1.0
    expected = gradient, estimate, new
    found = in_the_end, same, kept.inner
    for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-4)
    assert kept.updates == UPDATES


@pytest.mark.parametrize(
    ("method", "latents"),
    [
        (nvil(), "layers of bits"),
        (disarm, "bits"),
        (rem_v1(), "gaussian"),
        (wake_sleep, "bits"),
        (iwae, "gaussian"),
    ],
    ids=["nvil", "disarm", "rem_v1", "wake_sleep", "iwae"],
)
def test_at_first_the_prior_learns_nothing(method, latents):
    """lambda is 0: theta's prior stands still, and everything is finite."""
    batch = Batch(IMAGES, jnp.arange(len(IMAGES)))
    estimator = make_estimator(*NETWORKS[latents], warm_up(method, UPDATES), Particles(4))
    params, state = estimator.init(jax.random.key(1))

    @jax.jit
    def run(params):
        def loss(params):
            estimate, new = estimator.estimate(params, state, jax.random.key(0), batch)
            return estimate.theta_loss + estimate.eta_loss, (estimate, new)

        return jax.grad(loss, has_aux=True)(params)

    gradient, (estimate, new) = run(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((gradient, estimate)))
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(gradient.theta["prior"]))
    assert new.updates == 1


def test_a_batch_in_parts_is_annealed_alike():
    """600 particles of 4 datapoints are summed one datapoint after the other."""
    x = jnp.concatenate([IMAGES, IMAGES[:1]])
    batch, losses = Batch(x, jnp.arange(4)), []
    for particles in (Particles(600), Particles(600, keep=600)):
        estimator = make_estimator(*NETWORKS["gaussian"], warm_up(iwae, UPDATES), particles)
        params, _ = estimator.init(jax.random.key(1))

        def loss(params, estimator=estimator):
            estimate, _ = estimator.estimate(params, after(3), jax.random.key(0), batch)
            return estimate.theta_loss + estimate.eta_loss

        losses.append(jax.jit(jax.value_and_grad(loss))(params))
    for one, other in zip(*map(jax.tree.leaves, losses), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


def test_the_schedule_and_what_it_is_called():
    warm = warm_up(vae(), 4)
    weights = [warm.combine.ramp.weight(jnp.asarray(count)) for count in range(6)]
    np.testing.assert_allclose(weights, [0.0, 0.25, 0.5, 0.75, 1.0, 1.0])
    assert str(warm) == f"{vae()}, warmed up over 4 updates"
    assert warm == warm_up(vae(), 4)
    with pytest.raises(InputError, match=r"^num_updates is 0: give 1"):
        warm_up(vae(), 0)
