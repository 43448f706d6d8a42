"""What mimics the released code differs from the library in exactly what it says."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags
from jax.tree_util import Partial

from experiments import train
from experiments.output.files import write_json
from experiments.run.kinds import chosen, fitting_kind
from experiments.run.presets import (
    PRESETS,
    iwae_release,
    rem_v1_leaky,
    rounded_burda_schedule,
    unweighted_with_ridge,
)
from experiments.run.settings import Settings
from experiments.run.training import settings_from_flags
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

# What a run of each preset is, where the command line names nothing else.
_RUNS = {
    "rem_paper": ("gaussian", "rem_v1"),
    "rem_release": ("gaussian", "rem_v1_leaky"),
    "review": ("gaussian", "rem_v1"),
    "iwae_paper": ("gaussian", "rem_v1"),
    "iwae_release": ("gaussian", "rem_v1"),
    "dvae_paper": ("dvae", "stl"),
    "dvae_release": ("dvae", "dvae"),
}


@pytest.fixture
def settings_of(defined_flags):
    """The settings that a command line makes."""

    def settings(*arguments):
        with defined_flags(train):
            flags.FLAGS(["train", "--run_dir=none", *arguments])
            return settings_from_flags()

    return settings


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_makes_settings(name):
    settings = Settings.from_mapping(PRESETS[name])
    assert all(getattr(settings, key) == value for key, value in PRESETS[name].items())


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_alone_is_the_run_that_it_names(name, settings_of):
    """Its model, its method in the form of the preset, and every setting that these have."""
    settings = settings_of(f"--preset={name}")
    assert (settings.model, settings.method) == _RUNS[name]
    stated = chosen(PRESETS[name], settings.model, settings.method) | {"method": settings.method}
    assert {key: getattr(settings, key) for key in stated} == stated
    fitting_kind(settings)  # refuses what does not go together


def test_flags_take_precedence_over_the_model_and_the_method_of_a_preset(settings_of):
    assert settings_of("--preset=dvae_release", "--method=dreg").method == "dreg"
    other = settings_of("--preset=dvae_release", "--model=rbm")
    assert (other.model, other.method) == ("rbm", settings_of("--model=rbm").method)
    bits = settings_of("--preset=review", "--model=sigmoid_belief")
    assert (bits.model, bits.method) == ("sigmoid_belief", "rem_v1")


def test_an_earlier_run_keeps_its_method_beside_a_preset(settings_of, tmp_path):
    settings = settings_of("--preset=dvae_release", "--method=vimco")
    write_json(tmp_path / "config.json", dataclasses.asdict(settings))
    again = settings_of(f"--run_dir={tmp_path}", "--resume", "--preset=dvae_release")
    assert again == settings


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
