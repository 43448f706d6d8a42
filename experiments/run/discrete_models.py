"""Discrete VAEs (Vahdat et al. 2019): a Boltzmann machine as the prior of a decoder."""

import functools
from collections.abc import Mapping

import jax
import optax

from experiments.run.choices import INITIALIZATIONS, POSTERIORS, PRIOR_PHASES, look_up
from experiments.run.data_facts import DataFacts
from experiments.run.discrete_pictures import draw_discrete
from experiments.run.discrete_scoring import SCORING, DiscreteVAE, tracked
from experiments.run.discrete_settings import DISCRETE_SETTINGS
from experiments.run.fields import said_of
from experiments.run.kind import Kind
from experiments.run.latent_variables import (
    about,
    method_estimator,
    particles,
    refuse_other_units,
    refuse_what_is_too_large,
    replicas_at_a_time,
    work,
)
from experiments.run.likelihoods import choose
from experiments.run.log_z_settings import LOG_Z_SETTINGS
from experiments.run.methods import WITH_RECOGNITION
from experiments.run.network_settings import NETWORK_SETTINGS
from experiments.run.networks import inputs_of, likelihood_of
from experiments.run.settings import Settings
from remjax.errors import InputError
from remjax.models import (
    batch_normalization,
    boltzmann_model,
    marginalized,
    with_boltzmann_prior,
)
from remjax.training.steps import init_train_state
from remjax.types import Estimator

_ABSENT = {"num_categories", "condition", "bfloat16", "eval_proposal", "eval_activity"}


def _build(
    settings: Settings, facts: DataFacts, mesh: jax.sharding.Mesh | None
) -> tuple[Estimator, DiscreteVAE]:
    """The estimator with the negative phase of the prior, and the networks."""
    refuse_what_is_too_large(settings, facts.size)
    chosen = choose(settings.likelihood, facts)
    refuse_other_units(settings, chosen)
    method = WITH_RECOGNITION.default_of(settings.method)
    relaxed = settings.relaxed_for(settings.method, method.serves_relaxed)
    visible_size, hidden_size = _sides(settings)
    initialization = look_up(INITIALIZATIONS, "initialization", settings.initialization)
    likelihood = likelihood_of(chosen.name, facts, mean_output=settings.mean_output)
    model = boltzmann_model(
        marginalized(likelihood) if settings.missing == "marginalize" else likelihood,
        visible_size=visible_size,
        hidden_size=hidden_size,
        hidden_sizes=settings.hidden_sizes[0],
        smoothing=relaxed.smoothing,
        initialization=initialization,
        normalization=batch_normalization() if settings.batch_normalization else None,
    )
    posterior = look_up(POSTERIORS, "posterior", settings.posterior)
    inputs = inputs_of(facts, centred=settings.centred_input)
    recognition = posterior.build(relaxed, inputs.arguments(), initialization)
    phase = look_up(PRIOR_PHASES, "prior_phase", settings.prior_phase)
    with said_of(f"--prior_temperatures={settings.prior_temperatures}"):
        negative_phase = phase(
            settings.prior_chains, settings.prior_sweeps, settings.prior_temperatures
        )
    estimator = with_boltzmann_prior(
        method_estimator(settings, facts, model, recognition),
        negative_phase,
        weight_decay=settings.prior_decay,
    )
    # Traced without compiling, the state before the first update finds what cannot serve.
    start = functools.partial(init_train_state, estimator, optax.identity(), data=facts.form)
    jax.eval_shape(start, jax.random.key(0))
    evaluate = posterior.evaluate(model, recognition, settings, mesh)
    return estimator, DiscreteVAE(model, recognition, evaluate, chosen)


def _sides(settings: Settings) -> tuple[int, int]:
    sizes = settings.latent_sizes
    if len(sizes) != 2:
        raise InputError(
            f"--latent_size={settings.latent_size} does not go with --model=dvae, whose prior has "
            "two sides: give two numbers, as 100,100"
        )
    return sizes[0], sizes[1]


def _line(metrics: Mapping[str, float]) -> str:
    if "log_evidence" not in metrics:
        return f"log_evidence plus log Z {metrics['unnormalized_log_evidence']:9.2f} nats"
    text = f"log_evidence {metrics['log_evidence']:9.2f} "
    if "log_evidence_low" in metrics:
        text += f"({metrics['log_evidence_low']:.2f} to {metrics['log_evidence_high']:.2f}) "
    return f"{text}nats  log Z {metrics['log_z']:8.2f}"


KINDS: Mapping[str, Kind] = {
    "dvae": Kind(
        family=WITH_RECOGNITION,
        settings=(NETWORK_SETTINGS - _ABSENT) | DISCRETE_SETTINGS | LOG_Z_SETTINGS,
        build=_build,
        line=_line,
        draw=draw_discrete,
        scoring=SCORING,
        defaults={
            "method": "stl",
            "num_particles": 1,
            "latent_size": "100,100",
            "learning_rate": 3e-3,
            "adam_epsilon": 1e-3,
            "schedule": "vahdat",
            "epochs": 20,
            "eval_num_particles": 4000,
            "eval_size": 200,
            "log_z_base": "biases",
            "log_z_temperatures": 2000,
            "log_z_burn_in": 1000,
        },
        epoch_metrics=tracked,
        particles=particles,
        replicas_at_a_time=replicas_at_a_time,
        work=work,
        about=about,
    )
}
