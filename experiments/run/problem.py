"""What settings ask for, built: the data, the model, the estimator and the optimiser."""

import math

import jax

from experiments.run.choices import SCHEDULES, look_up
from experiments.run.data_facts import facts_of
from experiments.run.fields import said_of_flags
from experiments.run.images import images_of
from experiments.run.kind import Kind, Problem
from experiments.run.kinds import fitting_kind, has
from experiments.run.optimizers import OPTIMIZERS
from experiments.run.settings import DEFAULTS, Settings
from remjax.data import Dataset
from remjax.data.own_checks import MissingValues
from remjax.errors import InputError
from remjax.sharding import DATA, PARTICLES, make_mesh


def build(settings: Settings) -> Problem:
    """Everything that a run needs, from its settings.

    Raises:
        InputError: for settings that do not go together, or data that cannot be had.
    """
    kind = fitting_kind(settings)
    with said_of_flags(DEFAULTS):
        mesh = _mesh(settings, kind)
    dataset = _images(settings)
    facts = facts_of(dataset)
    with said_of_flags(DEFAULTS):
        estimator, parts = kind.build(settings, facts, mesh)
    steps_per_epoch = len(dataset.train) // settings.batch_size
    schedule = look_up(SCHEDULES, "schedule", settings.schedule)
    return Problem(
        settings=settings,
        dataset=dataset,
        facts=facts,
        kind=kind,
        parts=parts,
        estimator=estimator,
        optimizer=look_up(OPTIMIZERS, "optimizer", settings.optimizer)(
            schedule(settings.learning_rate, steps_per_epoch, settings.epochs),
            max_gradient_norm=settings.max_gradient_norm or math.inf,
            weight_decay=settings.weight_decay,
            **_of_adam(settings),
        ),
        steps_per_epoch=steps_per_epoch,
        mesh=mesh,
    )


def _images(settings: Settings) -> Dataset:
    """Those of `images_of`, with the mend that only some models have."""
    try:
        return images_of(settings)
    except MissingValues as error:
        if not has(settings.model, "missing"):
            raise
        raise InputError(
            f"{error}, or leave them out of the likelihood with --missing=marginalize"
        ) from error


def _of_adam(settings: Settings) -> dict[str, float]:
    """The options that Adam has and the other optimizers have not."""
    if settings.optimizer != "adam":
        return {}
    return {
        "b1": settings.adam_b1,
        "eps": settings.adam_epsilon,
        "epsilon_hat": settings.epsilon_hat,
        "initial_nu": settings.adam_initial_nu,
    }


def _mesh(settings: Settings, kind: Kind) -> jax.sharding.Mesh | None:
    """The mesh that --mesh asks for; without it, all devices of several hosts or one of one."""
    text = settings.mesh
    if text is None:
        return make_mesh(data=jax.device_count()) if jax.process_count() > 1 else None
    axes = [part.partition(":") for part in text.split(",")]
    sizes = {name: int(size) for name, _, size in axes if size.isdecimal() and len(size) < 10}
    if len(sizes) != len(axes) or not sizes.keys() <= {DATA, PARTICLES}:
        raise InputError(
            f"--mesh={text} is no mesh: write the devices along each axis, as "
            f"--mesh={DATA}:4,{PARTICLES}:2 or --mesh={DATA}:8"
        )
    divided = kind.particles(settings)
    if divided is None and sizes.get(PARTICLES, 1) > 1:
        raise InputError(
            f"--mesh={text} has devices for particles, which --model={settings.model} has not: "
            f"leave {PARTICLES} out"
        )
    if divided is not None and sizes.get(PARTICLES, 1) > divided[1]:
        flag, number = divided
        raise InputError(
            f"--mesh={text} has more devices for particles than --{flag}={number}: "
            f"lower {PARTICLES}"
        )
    return make_mesh(**sizes)
