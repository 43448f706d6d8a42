"""What every method promises, whatever it estimates, for every kind of latent that it serves."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax import (
    Batch,
    Particles,
    bernoulli_likelihood,
    gaussian_model,
    gaussian_recognition,
    make_estimator,
    sigmoid_belief_network,
    sigmoid_belief_recognition,
)
from remjax.distributions import PiecewiseLinear
from remjax.methods import (
    Method,
    arithmetic_mean,
    ciwae,
    disarm,
    dreg,
    dvae,
    from_r,
    iwae,
    miwae,
    nvil,
    ovis,
    piwae,
    reinforce,
    rem_curvature,
    rem_defensive,
    rem_dreg,
    rem_mixture,
    rem_pooled,
    rem_v1,
    rem_v2,
    rloo,
    rws,
    rws_defensive,
    rws_dreg,
    stl,
    tvo,
    vae,
    vimco,
    vr,
    wake_sleep,
)
from remjax.models import RawHeads, categorical_model, categorical_recognition
from remjax.particles.covariances import tempered, unweighted, weighted
from tests.bits_in_one_vector import networks_of_bits

DATA_SIZE, BATCH = 12, 3
MEAN = np.full(DATA_SIZE, 0.3)
IMAGES = jnp.asarray(np.random.default_rng(0).uniform(size=(BATCH, DATA_SIZE)) < 0.3, jnp.float32)
WIDTHS = {"latent_size": 3, "hidden_sizes": (5,)}
OF_CATEGORIES = {"latent_size": 2, "num_categories": 3, "hidden_sizes": (5,)}
LIKELIHOOD = bernoulli_likelihood(MEAN)
NETWORKS = {
    "gaussian": (gaussian_model(LIKELIHOOD, **WIDTHS), gaussian_recognition(MEAN, **WIDTHS)),
    "bits": (
        sigmoid_belief_network(LIKELIHOOD, latent_sizes=(3,)),
        sigmoid_belief_recognition(MEAN, latent_sizes=(3,)),
    ),
    "layers of bits": (
        sigmoid_belief_network(LIKELIHOOD, latent_sizes=(3, 2)),
        sigmoid_belief_recognition(MEAN, latent_sizes=(3, 2)),
    ),
    "categories": (
        categorical_model(LIKELIHOOD, **OF_CATEGORIES),
        categorical_recognition(MEAN, **OF_CATEGORIES),
    ),
    "groups of bits": networks_of_bits(LIKELIHOOD, MEAN, 4, num_groups=2),
    "relaxed bits": networks_of_bits(
        LIKELIHOOD, MEAN, 4, num_groups=2, relaxation=PiecewiseLinear()
    ),
    "groups of machines": networks_of_bits(LIKELIHOOD, MEAN, 4, num_groups=2, heads=RawHeads),
    "relaxed machines": networks_of_bits(
        LIKELIHOOD, MEAN, 4, num_groups=2, heads=RawHeads, relaxation=PiecewiseLinear()
    ),
}
ALL, KEPT = Particles(7), Particles(7, keep=4)
# Seven particles in chunks of four: the last chunk is padded. The others go all at once, which
# compiles in half the time.
CUT, KEPT_AND_CUT = Particles(7, chunk_size=4), Particles(7, keep=4, chunk_size=4)
CASES: dict[str, dict[str, tuple[Method, Particles]]] = {
    "gaussian": {
        "vae": (vae(), ALL),
        "vae analytic": (vae(analytic_kl=True), CUT),
        "iwae in chunks": (iwae, CUT),
        "iwae keep in chunks": (iwae, KEPT_AND_CUT),
        "iwae of one": (iwae, Particles(1)),
        "rws": (rws(), ALL),
        "rws keep": (rws(), KEPT),
        "rem_v1 in chunks": (rem_v1(), CUT),
        "rem_v1 keep": (rem_v1(weighted()), KEPT),
        "rem_v1 tempered": (rem_v1(tempered()), ALL),
        "rem_v2": (rem_v2(), ALL),
        "rem_v2 of one": (rem_v2(), Particles(1, keep=1)),
        "rem_v2 from r": (rem_v2(unweighted(), hyperproposal=from_r), KEPT),
        "rem_curvature in chunks": (rem_curvature(largest_cost=np.inf), CUT),
        "rem_curvature keep": (rem_curvature(largest_cost=np.inf), KEPT),
        "rem_defensive": (rem_defensive(), ALL),
        "rem_dreg in chunks": (rem_dreg(), CUT),
        "rem_dreg keep": (rem_dreg(), KEPT),
        "rem_mixture keep": (rem_mixture(), KEPT),
        "rem_pooled": (rem_pooled(), ALL),
        "rem_pooled keep in chunks": (rem_pooled(), KEPT_AND_CUT),
        "dreg": (dreg, ALL),
        "dvae": (dvae, ALL),
        "stl": (stl, ALL),
        "vr": (vr(), ALL),
        "miwae": (miwae(3), Particles(6)),
        "piwae": (piwae(2), Particles(6)),
        "ciwae": (ciwae(), ALL),
        "rws_dreg": (rws_dreg, ALL),
        "rws_defensive": (rws_defensive(), ALL),
        "reinforce": (reinforce, ALL),
        "vimco in chunks": (vimco(), CUT),
        "ovis": (ovis(), ALL),
        "tvo in chunks": (tvo(), CUT),
        "nvil one signal": (nvil(baseline=None, lagged=True), ALL),
    },
    "bits": {
        "rem_v1": (rem_v1(), ALL),
        "rem_v2 keep in chunks": (rem_v2(weighted()), KEPT_AND_CUT),
        "rem_pooled": (rem_pooled(), ALL),
        "disarm": (disarm, Particles(4)),
    },
    "layers of bits": {
        "rloo": (rloo, ALL),
        "vimco arithmetic": (vimco(arithmetic_mean), ALL),
        "nvil": (nvil(), ALL),
        "ovis": (ovis(gamma=0.0), ALL),
        "tvo": (tvo(num_partitions=3, first_beta=0.2), ALL),
        "disarm": (disarm, Particles(4)),
        "wake_sleep": (wake_sleep, ALL),
        "rws dreaming": (rws(dream_share=0.5), ALL),
        "rem_v1 in chunks": (rem_v1(), CUT),
        "rem_v1 weighted": (rem_v1(weighted()), KEPT),
        "rem_v2": (rem_v2(weighted()), ALL),
        "rem_mixture": (rem_mixture(), ALL),
    },
    "categories": {
        "rem_v1 keep": (rem_v1(), KEPT),
        "rem_v2": (rem_v2(weighted()), ALL),
        "rem_mixture": (rem_mixture(), ALL),
        "rem_pooled in chunks": (rem_pooled(), CUT),
        "rws": (rws(), ALL),
        "rws_defensive": (rws_defensive(), ALL),
        "wake_sleep": (wake_sleep, ALL),
        "reinforce": (reinforce, ALL),
        "rloo": (rloo, ALL),
        "vimco": (vimco(), ALL),
        "ovis": (ovis(), ALL),
        "tvo": (tvo(num_partitions=2), ALL),
        "nvil": (nvil(), ALL),
    },
    "groups of bits": {
        "disarm": (disarm, Particles(4)),
        "rem_v1": (rem_v1(), ALL),
    },
    "relaxed bits": {
        "vae": (vae(), ALL),
        "iwae keep": (iwae, KEPT),
        "dreg in chunks": (dreg, CUT),
    },
    "groups of machines": {
        "rws": (rws(), ALL),
        "vimco": (vimco(), ALL),
        "wake_sleep": (wake_sleep, ALL),
        "rem_v1 keep": (rem_v1(), KEPT),
        "rem_mixture in chunks": (rem_mixture(), CUT),
    },
    "relaxed machines": {
        "dvae": (dvae, ALL),
        "vae": (vae(), ALL),
        "iwae keep": (iwae, KEPT),
        "dreg in chunks": (dreg, CUT),
    },
}
# Dreams are the model's own: what eta learns from them has seen no datapoint.
ETA_SEES_NO_DATA = {"wake_sleep"}
# Of the cases, those that add no method and no kind of latent to the others.
VARIANTS = {
    "gaussian": {
        *("vae", "iwae in chunks", "iwae of one", "rws", "rem_v1 keep", "rem_v1 tempered"),
        *(
            "rem_dreg in chunks",
            "rem_v2",
            "rem_v2 from r",
            "rem_pooled",
            "vimco in chunks",
            "ovis",
            "tvo in chunks",
        ),
        *("nvil one signal", "reinforce", "rws_defensive"),
    },
    "bits": {"disarm", "rem_pooled"},
    "layers of bits": {
        *("ovis", "tvo", "vimco arithmetic", "rem_v1 weighted", "rem_v2", "rem_mixture"),
    },
    "categories": {"rem_mixture", "rws", "wake_sleep", "rloo", "nvil"},
    "groups of bits": {"rem_v1"},
    "relaxed bits": {"vae", "iwae keep"},
    "groups of machines": {"rws", "vimco", "wake_sleep", "rem_mixture in chunks"},
    "relaxed machines": {"vae", "iwae keep", "dvae"},
}
# One of each family of methods and of each kind of latent.
FAMILIES = {
    "gaussian": {"vae analytic", "iwae keep in chunks", "rem_pooled keep in chunks", "miwae"},
    "bits": {"rem_v1"},
    "layers of bits": {"nvil", "disarm"},
    "categories": {"rem_v1 keep", "vimco", "tvo"},
    "groups of bits": {"disarm"},
    "relaxed bits": {"dreg in chunks"},
    "groups of machines": {"rem_v1 keep"},
    "relaxed machines": {"dreg in chunks"},
}


def cases(default=None, exhaustive=CASES):
    """Cases as parameters of a test, {kind of latent: names} of them.

    Args:
        default: those of every run; all but the variants where it is left out.
        exhaustive: those of the exhaustive runs, where they are not among the others.
    """

    def parameters():
        for latents, methods in CASES.items():
            for name in methods:
                if default is None:
                    always = name not in VARIANTS[latents]
                else:
                    always = name in default.get(latents, ())
                marks = () if always else pytest.mark.exhaustive
                if always or name in exhaustive.get(latents, ()):
                    yield pytest.param(latents, name, id=f"{latents}-{name}", marks=marks)

    return pytest.mark.parametrize(("latents", "name"), [*parameters()])


@functools.cache
def start(latents):
    """theta and eta, the same for every method."""
    model, recognition = NETWORKS[latents]
    estimator = make_estimator(model, recognition, reinforce, Particles(1))
    return jax.jit(estimator.init)(jax.random.key(1))[0]


class Compiled:
    """An estimator, its parameters, and one compiled function of everything that the tests read."""

    def __init__(self, latents, name):
        self.traces = 0
        self.method, self.particles = CASES[latents][name]
        self.networks = NETWORKS[latents]
        self.estimator = make_estimator(*self.networks, self.method, self.particles)
        form = jax.eval_shape(self.estimator.init, jax.random.key(1))
        self.params, self.state = start(latents), ()
        if jax.tree.leaves((form[0].baseline, form[1])):
            self.params, self.state = jax.jit(self.estimator.init)(jax.random.key(1))
        self.run = jax.jit(self._run)

    def _run(self, params, state, key, batch, shares):
        """(estimate, state, gradient of shares[0] theta_loss + shares[1] eta_loss)."""
        self.traces += 1

        def loss(params):
            estimate, new = self.estimator.estimate(params, state, key, batch)
            losses = jnp.stack([estimate.theta_loss, estimate.eta_loss])
            return shares @ losses, (estimate, new)

        gradient, (estimate, new) = jax.grad(loss, has_aux=True)(params)
        return estimate, new, gradient

    def __call__(self, x=IMAGES, params=None, seed=0, shares=(1.0, 1.0)):
        params = self.params if params is None else params
        batch = Batch(x, jnp.arange(len(x)))
        return self.run(params, self.state, jax.random.key(seed), batch, jnp.array(shares))


compiled = functools.cache(Compiled)


def size(tree):
    return sum(float(np.sum(np.abs(leaf))) for leaf in jax.tree.leaves(tree))


@cases()
def test_each_loss_moves_its_own_part_alone(latents, name):
    of_theta_loss = compiled(latents, name)(shares=(1.0, 0.0))[2]
    of_eta_loss = compiled(latents, name)(shares=(0.0, 1.0))[2]
    assert size(of_theta_loss.theta) > 0.0
    assert size((of_theta_loss.eta, of_theta_loss.baseline)) == 0.0
    assert size(of_eta_loss.eta) > 0.0
    assert size(of_eta_loss.theta) == 0.0
    assert all(size(leaf) > 0.0 for leaf in jax.tree.leaves(of_eta_loss.baseline))


@cases()
def test_compiled_once_and_the_state_keeps_its_form(latents, name):
    method = compiled(latents, name)
    estimate, state, *_ = method(1.0 - IMAGES, seed=3)
    method(IMAGES, seed=4)
    assert method.traces == 1
    assert jax.tree.structure(state) == jax.tree.structure(method.state)
    for new, old in zip(jax.tree.leaves(state), jax.tree.leaves(method.state), strict=True):
        assert new.shape == old.shape
        assert new.dtype == old.dtype
    for leaf in jax.tree.leaves(estimate):
        assert leaf.shape == ()
        assert leaf.dtype == jnp.float32
    assert set(estimate.metrics) == {"log_evidence", "ess", "hyper_ess", "scored"}
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(method()[2]))


@cases()
def test_keys_matter_and_repeat(latents, name):
    method = compiled(latents, name)
    first, again, other = method()[0], method()[0], method(seed=1)[0]
    assert first.theta_loss == again.theta_loss
    assert first.theta_loss != other.theta_loss
    assert first.eta_loss != other.eta_loss


# Operation by operation a method takes ten times as long: one of each way to combine particles.
EAGER = {
    "gaussian": {"vae analytic", "rem_pooled keep in chunks"},
    "layers of bits": {"nvil"},
    "groups of bits": {"disarm"},
    "categories": {"tvo"},
    "relaxed machines": {"dreg in chunks"},
}


@cases(default={"gaussian": {"rem_v1 in chunks"}}, exhaustive=EAGER)
def test_jit_equals_eager(latents, name):
    method = compiled(latents, name)
    batch, key = Batch(IMAGES, jnp.arange(BATCH)), jax.random.key(0)
    again, _ = method.estimator.estimate(method.params, method.state, key, batch)
    assert_close(method()[0], again)


def assert_close(estimate, expected):
    assert jax.tree.structure(estimate) == jax.tree.structure(expected)
    for ours, theirs in zip(jax.tree.leaves(estimate), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@cases(default={"categories": {"rem_pooled in chunks"}}, exhaustive=FAMILIES)
def test_chunks_change_nothing(latents, name):
    """Beyond rounding; all particles at once, and in chunks of two. With keep, others are kept."""
    method = compiled(latents, name)
    batch, key = Batch(IMAGES, jnp.arange(BATCH)), jax.random.key(0)
    estimates = []
    for chunk_size in (2, 7):
        particles = dataclasses.replace(method.particles, keep=None, chunk_size=chunk_size)
        estimator = make_estimator(*method.networks, method.method, particles)
        estimates.append(jax.jit(estimator.estimate)(method.params, method.state, key, batch)[0])
    assert_close(*estimates)


def scaled(factor):
    return lambda params: jax.tree.map(lambda leaf: leaf * factor, params)


@cases(default=FAMILIES)
@pytest.mark.parametrize(
    ("x", "change"),
    [
        (jnp.zeros_like(IMAGES), scaled(1.0)),
        (jnp.ones_like(IMAGES), scaled(1.0)),
        (IMAGES, scaled(1e-6)),
        (IMAGES, scaled(100.0)),
        (IMAGES, scaled(-1e4)),
    ],
    ids=["black", "white", "tiny parameters", "large parameters", "huge parameters"],
)
def test_losses_and_gradients_are_finite_on_hostile_input(latents, name, x, change):
    method = compiled(latents, name)
    for leaf in jax.tree.leaves(method(x, change(method.params))):
        assert np.all(np.isfinite(leaf))


@cases()
def test_nan_is_seen(latents, name):
    """One bad pixel: NaN in the metrics, and a gradient that the train step will skip."""
    estimate, _, gradient = compiled(latents, name)(IMAGES.at[0, 0].set(jnp.nan))
    assert np.isnan(estimate.metrics["log_evidence"])
    assert np.isnan(estimate.metrics["ess"])
    assert np.isnan(size(gradient))
    assert np.isnan(estimate.theta_loss)
    assert np.isnan(estimate.eta_loss) == (name not in ETA_SEES_NO_DATA)
