"""Tier 4: what every estimator promises, whatever it estimates."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax.errors import InputError
from remjax.methods.disarm import disarm
from remjax.methods.elbo import vae
from remjax.methods.groups import ciwae, miwae, piwae
from remjax.methods.importance_weighted import dreg, iwae, stl
from remjax.methods.nvil import nvil
from remjax.methods.ovis import ovis
from remjax.methods.proposals import from_r
from remjax.methods.rem import rem_mixture, rem_pooled, rem_v1, rem_v2
from remjax.methods.rem_discrete import rem_v1_bernoulli, rem_v2_bernoulli
from remjax.methods.renyi import vr
from remjax.methods.score_function import arithmetic_mean, reinforce, rloo, vimco
from remjax.methods.thermodynamic import tvo
from remjax.methods.wake_sleep import rws, rws_defensive, rws_dreg, wake_sleep
from remjax.models.gaussian import gaussian_model, gaussian_recognition
from remjax.models.layered import sigmoid_belief_network, sigmoid_belief_recognition
from remjax.models.likelihoods import bernoulli_likelihood
from remjax.particles.matching import tempered, unweighted, weighted
from remjax.types import Batch, Recognition

DATA_SIZE, BATCH = 12, 3
MEAN = np.full(DATA_SIZE, 0.3)
BITS = jnp.asarray(np.random.default_rng(0).uniform(size=(BATCH, DATA_SIZE)) < 0.3, jnp.float32)

# Those "in chunks" take seven particles in chunks of four, the last one padded; the others all at
# once, which compiles in half the time. That chunks change nothing is shown in test_particles.py.
CASES = {
    "vae": (vae, {}),
    "vae analytic": (vae, {"analytic_kl": True, "chunk_size": 4}),
    "iwae in chunks": (iwae, {"chunk_size": 4}),
    "iwae keep in chunks": (iwae, {"keep": 4, "chunk_size": 4}),
    "rws": (rws, {}),
    "rws keep": (rws, {"keep": 4}),
    "rem_v1 in chunks": (rem_v1, {"chunk_size": 4}),
    "rem_v1 keep": (rem_v1, {"keep": 4, "covariance": weighted()}),
    "rem_v1 tempered": (rem_v1, {"covariance": tempered()}),
    "rem_v2": (rem_v2, {}),
    "rem_v2 of one": (rem_v2, {"num_particles": 1, "keep": 1}),
    "iwae of one": (iwae, {"num_particles": 1}),
    "rem_v2 from r": (rem_v2, {"hyperproposal": from_r, "covariance": unweighted(), "keep": 4}),
    "rem_mixture keep": (rem_mixture, {"keep": 4}),
    "rem_pooled": (rem_pooled, {}),
    "rem_pooled keep in chunks": (rem_pooled, {"keep": 4, "chunk_size": 4}),
    "dreg": (dreg, {}),
    "stl": (stl, {}),
    "vr": (vr, {}),
    "miwae": (miwae, {"num_particles": 6, "num_groups": 3}),
    "piwae": (piwae, {"num_particles": 6, "num_groups": 2}),
    "ciwae": (ciwae, {}),
    "rws_dreg": (rws_dreg, {}),
    "rws_defensive": (rws_defensive, {}),
    "reinforce": (reinforce, {}),
    "vimco in chunks": (vimco, {"chunk_size": 4}),
    "ovis": (ovis, {}),
    "tvo in chunks": (tvo, {"chunk_size": 4}),
    "nvil one signal": (nvil, {"baseline": None, "lagged": True}),
}
# Two layers of bits, which the others cannot serve.
OF_BITS = {
    "rloo of bits": (rloo, {}),
    "vimco arithmetic of bits": (vimco, {"stand_in": arithmetic_mean}),
    "nvil of bits": (nvil, {}),
    "ovis of bits": (ovis, {"gamma": 0.0}),
    "tvo of bits": (tvo, {"num_partitions": 3, "first_beta": 0.2}),
    "disarm of bits": (disarm, {"num_particles": 4}),
    "wake_sleep of bits": (wake_sleep, {}),
    "rws of bits, dreaming": (rws, {"dream_share": 0.5}),
    "rem_v1_bernoulli of bits": (rem_v1_bernoulli, {}),
    "rem_v2_bernoulli of bits": (rem_v2_bernoulli, {}),
}
CASES |= OF_BITS
# Dreams are the model's own: what eta learns from them has seen no datapoint.
ETA_SEES_NO_DATA = {"wake_sleep of bits"}
EVERY = pytest.mark.parametrize("case", CASES)


class Compiled:
    """An estimator, its parameters, and one compiled function of everything that the tests read."""

    def __init__(self, case: str) -> None:
        self.traces = 0
        self.estimator = self.build(case)
        self.params, self.state = self.estimator.init(jax.random.key(1))
        self.run = jax.jit(self._run)

    @staticmethod
    def build(case, **changes):
        method, knobs = CASES[case]
        likelihood = bernoulli_likelihood(MEAN)
        if case in OF_BITS:
            model = sigmoid_belief_network(likelihood, latent_sizes=(3, 2))
            recognition = sigmoid_belief_recognition(MEAN, latent_sizes=(3, 2))
        else:
            model = gaussian_model(likelihood, latent_size=3, hidden_sizes=(5,))
            recognition = gaussian_recognition(MEAN, latent_size=3, hidden_sizes=(5,))
        return method(model, recognition, **({"num_particles": 7} | knobs | changes))

    def _run(self, params, state, key, batch, shares):
        """(estimate, state, gradient of shares[0] theta_loss + shares[1] eta_loss)."""
        self.traces += 1

        def loss(params):
            estimate, new = self.estimator.estimate(params, state, key, batch)
            losses = jnp.stack([estimate.theta_loss, estimate.eta_loss])
            return shares @ losses, (estimate, new)

        gradient, (estimate, new) = jax.grad(loss, has_aux=True)(params)
        return estimate, new, gradient

    def __call__(self, x=BITS, params=None, seed=0, shares=(1.0, 1.0)):
        params = self.params if params is None else params
        batch = Batch(x, jnp.arange(len(x)))
        return self.run(params, self.state, jax.random.key(seed), batch, jnp.array(shares))


compiled = functools.cache(Compiled)


def size(tree):
    return sum(float(jnp.sum(jnp.abs(leaf))) for leaf in jax.tree.leaves(tree))


@EVERY
def test_each_loss_moves_its_own_part_alone(case):
    of_theta_loss = compiled(case)(shares=(1.0, 0.0))[2]
    of_eta_loss = compiled(case)(shares=(0.0, 1.0))[2]
    assert size(of_theta_loss.theta) > 0.0
    assert size((of_theta_loss.eta, of_theta_loss.baseline)) == 0.0
    assert size(of_eta_loss.eta) > 0.0
    assert size(of_eta_loss.theta) == 0.0
    assert all(size(leaf) > 0.0 for leaf in jax.tree.leaves(of_eta_loss.baseline))


@EVERY
def test_jit_equals_eager(case):
    method = compiled(case)
    estimate = method()[0]
    batch = Batch(BITS, jnp.arange(BATCH))
    again, _ = method.estimator.estimate(method.params, method.state, jax.random.key(0), batch)
    assert jax.tree.structure(estimate) == jax.tree.structure(again)
    for value, expected in zip(jax.tree.leaves(estimate), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", ["iwae in chunks", "rem_pooled"])
def test_chunks_change_nothing(case):
    """Beyond rounding; seven particles all at once, and in chunks of two."""
    method = compiled(case)
    batch, key = Batch(BITS, jnp.arange(BATCH)), jax.random.key(0)
    cut = jax.jit(method.build(case, chunk_size=2).estimate)
    estimate = cut(method.params, method.state, key, batch)[0]
    for value, expected in zip(
        jax.tree.leaves(estimate), jax.tree.leaves(method()[0]), strict=True
    ):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4)


@EVERY
def test_compiled_once_and_the_state_keeps_its_form(case):
    method = compiled(case)
    estimate, state, *_ = method(1.0 - BITS, seed=3)
    method(BITS, seed=4)
    assert method.traces == 1
    assert jax.tree.structure(state) == jax.tree.structure(method.state)
    for new, old in zip(jax.tree.leaves(state), jax.tree.leaves(method.state), strict=True):
        assert new.shape == old.shape
        assert new.dtype == old.dtype
    for leaf in jax.tree.leaves(estimate):
        assert leaf.shape == ()
        assert leaf.dtype == jnp.float32
    assert {"log_evidence", "ess", "hyper_ess"} <= set(estimate.metrics)


@EVERY
def test_keys_matter_and_repeat(case):
    method = compiled(case)
    first, again, other = method()[0], method()[0], method(seed=1)[0]
    assert first.theta_loss == again.theta_loss
    assert first.theta_loss != other.theta_loss
    assert first.eta_loss != other.eta_loss


def scaled(factor):
    return lambda params: jax.tree.map(lambda leaf: leaf * factor, params)


@EVERY
@pytest.mark.parametrize(
    ("x", "change"),
    [
        (jnp.zeros_like(BITS), scaled(1.0)),
        (jnp.ones_like(BITS), scaled(1.0)),
        (BITS, scaled(1e-6)),
        (BITS, scaled(100.0)),
        (BITS, scaled(-1e4)),
    ],
    ids=["black", "white", "tiny parameters", "large parameters", "huge parameters"],
)
def test_losses_and_gradients_are_finite_on_hostile_input(case, x, change):
    method = compiled(case)
    for leaf in jax.tree.leaves(method(x, change(method.params))):
        assert np.all(np.isfinite(leaf))


@EVERY
def test_nan_is_seen(case):
    """One bad pixel: NaN in the metrics, and a gradient that the train step will skip."""
    estimate, _, gradient = compiled(case)(BITS.at[0, 0].set(jnp.nan))
    assert np.isnan(estimate.metrics["log_evidence"])
    assert np.isnan(estimate.metrics["ess"])
    assert np.isnan(size(gradient))
    assert np.isnan(estimate.theta_loss)
    assert np.isnan(estimate.eta_loss) == (case not in ETA_SEES_NO_DATA)


def test_recognition_that_returns_no_distribution(key):
    model = gaussian_model(bernoulli_likelihood(MEAN), latent_size=3, hidden_sizes=(5,))
    network = Recognition(lambda key: (), lambda eta, x: (x, x))
    estimator = rws(model, network, num_particles=2)
    with pytest.raises(InputError, match=r"returns a tuple: return a remjax\.Distribution"):
        estimator.estimate(*estimator.init(key), key, Batch(BITS, jnp.arange(BATCH)))
