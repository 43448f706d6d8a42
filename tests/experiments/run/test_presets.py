"""What mimics the released code differs from the library in exactly what it says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from experiments.run.presets import (
    PRESETS,
    iwae_release,
    rem_v1_leaky,
    rounded_burda_schedule,
    unweighted_with_ridge,
)
from experiments.run.settings import Settings
from remjax.distributions import DiagonalGaussian
from remjax.distributions.layers import Layers
from remjax.evaluation.latents import LatentUse
from remjax.methods.method import make_estimator
from remjax.methods.rem import rem_v1
from remjax.methods.row import Particles
from remjax.models.gaussian import gaussian_model, gaussian_recognition
from remjax.models.likelihoods import bernoulli_likelihood
from remjax.particles.covariances import MeanVariance, unweighted
from remjax.particles.moments import particle_moments
from remjax.types import Batch, Params, Recognition


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_makes_settings(name):
    settings = Settings.from_mapping(PRESETS[name])
    assert all(getattr(settings, key) == value for key, value in PRESETS[name].items())


def test_rounded_rates_of_the_iwae_release():
    schedule = rounded_burda_schedule(1e-3, 10)
    ends = [10 * (3**i - 1) // 2 for i in range(9)]
    rates = [1e-3, 7.2e-4, 5.2e-4, 3.7e-4, 2.7e-4, 1.9e-4, 1.4e-4, 1.0e-4]
    for rate, first, after in zip(rates, ends, ends[1:], strict=False):
        np.testing.assert_allclose([schedule(first), schedule(after - 1)], rate, rtol=1e-6)


def test_ridge_is_a_millionth_on_the_diagonal():
    particles = jax.random.normal(jax.random.key(0), (5, 3))
    ours, plain = unweighted_with_ridge(), unweighted()
    moments = particle_moments(jnp.arange(5.0), particles, jnp.ones(5), ours.powers)
    proposal = MeanVariance(jnp.zeros(3), jnp.ones(3))
    ridged, bare = (choice.match(moments, proposal, 5)[1] for choice in (ours, plain))
    np.testing.assert_allclose(ridged, bare + 1e-6 * np.eye(3), rtol=1e-6)
    assert (jnp.diagonal(ridged) > jnp.diagonal(bare)).all()


def test_leak_reaches_the_encoder_and_only_the_encoder():
    model = gaussian_model(
        bernoulli_likelihood(np.full(4, 0.5, np.float32)), latent_size=2, hidden_sizes=(3,)
    )
    recognition = gaussian_recognition(np.zeros(4, np.float32), latent_size=2, hidden_sizes=(3,))
    batch = Batch(jnp.eye(4), jnp.arange(4))

    methods = [
        make_estimator(model, recognition, method, Particles(6))
        for method in (rem_v1_leaky(), rem_v1())
    ]
    params, state = methods[0].init(jax.random.key(0))

    @jax.jit  # one program, in which the compiler finds what both have in common
    def gradients(params):
        def loss(params, estimator):
            estimate, _ = estimator.estimate(params, state, jax.random.key(1), batch)
            return estimate.theta_loss + estimate.eta_loss

        return [jax.grad(loss)(params, estimator) for estimator in methods]

    leaky, sound = gradients(params)
    for ours, expected in zip(
        jax.tree.leaves(leaky.theta), jax.tree.leaves(sound.theta), strict=True
    ):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)
    bias = (leaky.eta["mlp"]["head"]["bias"], sound.eta["mlp"]["head"]["bias"])
    assert float(jnp.abs(bias[0] - bias[1]).max()) > 1e-3


def test_release_counts_the_noise_of_one_draw_as_activity(key):
    """z_2 follows z_1 ~ N(0, 1) with slope 3 and x has no say: 9 at 500 draws, five errors."""
    steep = Partial(lambda slope, given: DiagonalGaussian(slope * given[-1], jnp.ones(1)), 3.0)
    r = Layers(DiagonalGaussian(jnp.zeros(1), jnp.ones(1)), (steep,))
    recognition = Recognition(init=lambda key: (), distribution=lambda eta, x: r)
    images = np.full((500, 2), np.nan, np.float32)
    use = iwae_release(LatentUse((), 1.5), recognition, Params((), ()), key, images)
    assert use.kl_to_prior == 1.5
    assert use.activity[0][0] == 0.0
    assert abs(use.activity[1][0] - 9) < 5 * 9 * np.sqrt(2 / 500)
