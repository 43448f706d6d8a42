"""Models with a recognition network: what a run of one is made of, and what it costs."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from experiments.run.annealed import ANNEALED
from experiments.run.choices import EVALUATION_PROPOSALS, INITIALIZATIONS, NETWORKS, look_up
from experiments.run.data_facts import DataFacts
from experiments.run.kind import Kind, Problem, Work
from experiments.run.likelihoods import Chosen, choose
from experiments.run.methods import WITH_RECOGNITION, accepts, build_estimator
from experiments.run.network_settings import NETWORK_SETTINGS
from experiments.run.networks import Networks, build_networks, inputs_of
from experiments.run.run_pictures import draw_run
from experiments.run.scoring import SCORING, LatentVariables, make_evaluate
from experiments.run.settings import Settings
from remjax.data import Columns
from remjax.errors import InputError
from remjax.methods.baselines import no_baseline, tanh_baseline
from remjax.models.initializations import in_bfloat16
from remjax.training.replicas import replicas_in_flight
from remjax.types import Batch, Estimator, Model, Params, Recognition


def _build(
    settings: Settings, facts: DataFacts, mesh: jax.sharding.Mesh | None, networks: Networks
) -> tuple[Estimator, LatentVariables]:
    """The estimator and the networks."""
    refuse_what_is_too_large(settings, facts.size)
    chosen = choose(settings.likelihood, facts)
    refuse_other_units(settings, chosen)
    initialization = look_up(INITIALIZATIONS, "initialization", settings.initialization)
    networks_of = functools.partial(
        build_networks,
        facts,
        networks,
        latent_sizes=settings.latent_sizes,
        hidden_sizes=settings.hidden_sizes,
        num_categories=settings.num_categories,
        mean_output=settings.mean_output,
        centred_input=settings.centred_input,
        likelihood=chosen.name,
        missing=settings.missing == "marginalize",
    )
    model, recognition = networks_of(initialization=initialization)
    # The decoder alone, which scores the particles, and only while it trains: what a run is scored
    # by stays comparable.
    rounded = in_bfloat16(initialization)
    trained = networks_of(initialization=rounded)[0] if settings.bfloat16 else model
    made = method_estimator(settings, facts, trained, recognition)
    estimator = networks.addition(made, facts.num_train)
    evaluate = make_evaluate(model, recognition, settings, mesh)
    parts = LatentVariables(model, recognition, evaluate, chosen)
    _refuse_what_does_not_fit(estimator, parts, settings, facts.form.shape[1])
    return estimator, parts


def method_estimator(
    settings: Settings, facts: DataFacts, model: Model, recognition: Recognition
) -> Estimator:
    """The estimator of --method, with its options, its baseline and --warm_up."""
    options = {"num_particles": settings.num_particles, **settings.for_estimator()}
    options |= _baseline(settings, facts)
    return build_estimator(settings.method, model, recognition, options, settings.warm_up)


def _baseline(settings: Settings, facts: DataFacts) -> Mapping[str, Any]:
    """The option that methods with a baseline have: a network that sees x as the encoder does.

    Raises:
        InputError: for a size that the method has no use for.
    """
    size = settings.baseline_size
    if not accepts(settings.method, "baseline"):
        if size is not None:
            raise InputError(
                f"--baseline_size does nothing for --method={settings.method}: leave it out"
            )
        return {}
    if size == 0:
        return {"baseline": no_baseline}
    inputs = inputs_of(facts, centred=settings.centred_input)
    scale = 1.0 if inputs.scale is None else inputs.scale
    made = functools.partial(tanh_baseline, data_mean=inputs.offset, data_scale=scale)
    return {"baseline": functools.partial(made, hidden_size=size) if size else made}


def refuse_other_units(settings: Settings, chosen: Chosen) -> None:
    """Only measurements may be standardized."""
    if settings.standardize and chosen.name != "gaussian":
        raise InputError(
            f"--standardize is for measurements, and the likelihood is {chosen.name} "
            f"({chosen.why}): leave it out, or add --likelihood=gaussian"
        )


def refuse_what_is_too_large(settings: Settings, data_size: int) -> None:
    """Before a network is made, which would take all the memory.

    Raises:
        InputError: for a layer whose weights could not be counted in 32 bits.
    """
    hidden = [width for widths in settings.hidden_sizes for width in widths] or [data_size]
    largest = max(hidden) * max(data_size, *hidden, *settings.latent_sizes)
    if largest >= 2**31:
        raise InputError(
            f"the networks would have a layer of up to {largest:,} weights: lower --hidden_size "
            "or --latent_size"
        )


def _refuse_what_does_not_fit(
    estimator: Estimator, parts: LatentVariables, settings: Settings, data_size: int
) -> None:
    """Trace a step and the evaluation without compiling: it finds what cannot serve the model.

    Raises:
        InputError: for a method or an evaluation that needs of the model what it has not.
    """
    proposal = look_up(EVALUATION_PROPOSALS, "eval_proposal", settings.eval_proposal)

    key, x = jax.random.key(0), jnp.zeros(data_size)
    params, state = jax.eval_shape(estimator.init, key)
    batch = Batch(x[None], jnp.zeros(1, int))
    jax.eval_shape(estimator.estimate, params, state, key, batch)  # as `init_train_state` asks

    def once(params: Params, key: jax.Array, x: jax.Array) -> None:
        joint = parts.model.joint(params.theta, x).hard()
        proposal(key, joint, parts.recognition.r(params.eta, x).hard(), 1, 1)

    jax.eval_shape(once, params, key, x)


def _line(metrics: Mapping[str, float]) -> str:
    return f"log_evidence {metrics['log_evidence']:9.2f} nats  ess {metrics['ess']:6.1f}"


def particles(settings: Settings) -> tuple[str, int]:
    """What a mesh divides."""
    return "num_particles", settings.num_particles


def replicas_at_a_time(problem: Problem) -> int:
    """As many as fill the decoder passes in flight."""
    settings = problem.settings
    devices = 1 if problem.mesh is None else problem.mesh.size
    return replicas_in_flight(
        passes=-(-settings.batch_size * settings.num_particles // devices),
        keep=settings.keep,
        data_size=problem.dataset.train.shape[1],
    )


def about(problem: Problem) -> str:
    """The likelihood, and the units of its nats."""
    units = ", of standardized columns: nats are theirs" if problem.settings.standardize else ""
    return f"{problem.parts.likelihood}{units}{_given(problem.facts.condition)}"


def _given(condition: Columns | None) -> str:
    """What the rows are conditioned on, as it is printed."""
    if condition is None:
        return ""
    named = [
        f"{name} ({f'{len(values)} categories' if values else 'standardized'})"
        for name, values in zip(condition.names, condition.categories, strict=True)
    ]
    return f"; given {', '.join(named)}"


def work(settings: Settings) -> Work:
    """In decoder passes: those with a gradient count three times."""
    update = 3 * settings.batch_size * settings.num_particles
    return Work(update=update, image=settings.eval_num_particles)


def _kind(name: str, networks: Networks) -> Kind:
    of_others = {"num_categories"} if name != "categorical" else set()
    return Kind(
        family=WITH_RECOGNITION,
        settings=NETWORK_SETTINGS - of_others,
        build=functools.partial(_build, networks=networks),
        line=_line,
        draw=draw_run,
        scoring=SCORING._replace(further=ANNEALED),
        particles=particles,
        replicas_at_a_time=replicas_at_a_time,
        work=work,
        about=about,
    )


KINDS: Mapping[str, Kind] = {name: _kind(name, networks) for name, networks in NETWORKS.items()}
