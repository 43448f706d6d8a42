"""A run that starts where another one ended: --init_from."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

from experiments.output.files import read_json
from experiments.run.initial_state import initial_state
from experiments.run.kind import Problem
from experiments.run.problem import build
from experiments.run.settings import Settings
from remjax.errors import InputError
from remjax.training import checkpoints
from remjax.training.steps import TrainState

# What the parameters and the memory of the optimizer depend on.
_SAME = (
    "model", "num_categories", "latent_sizes", "hidden_sizes", "optimizer", "epsilon_hat",
    "num_replicas",
)  # fmt: skip


def continued(state: TrainState, settings: Settings) -> TrainState:
    """The state with the parameters and the optimizer's memory of the finished run init_from.

    Adam's moments and their count continue. The count of updates, the schedule of the rate, the
    key and the memory of the estimator are those of the new run.

    Args:
        state: of the new run, before its first update.
        settings: of the new run; it names the other one.

    Raises:
        InputError: the other run is not finished, or does not fit.
    """
    old = initial_state(_origin(settings))
    _require_equal_shapes(old, state, settings)
    old = checkpoints.restore(Path(settings.init_from or "") / "checkpoints", old)

    def anew(part: Any) -> Any:
        is_schedule = isinstance(part, optax.ScaleByScheduleState)
        return jax.tree.map(jnp.zeros_like, part) if is_schedule else part

    memory = jax.tree.map(
        anew,
        old.opt_state.inner_state,
        is_leaf=lambda part: isinstance(part, optax.ScaleByScheduleState),
    )
    return state._replace(params=old.params, opt_state=state.opt_state._replace(inner_state=memory))


def require_fit(problem: Problem) -> None:
    """Check that the run can start as --init_from asks, if the flag is given.

    Raises:
        InputError: the other run is missing, not finished, or of another shape.
    """
    settings = problem.settings
    if settings.init_from is None:
        return
    old, new = (
        jax.eval_shape(lambda one=one: initial_state(one)) for one in (_origin(settings), problem)
    )
    _require_equal_shapes(old, new, settings)


def _origin(settings: Settings) -> Problem:
    """The finished run that --init_from names, built anew."""
    path = Path(settings.init_from or "")
    flag = f"--init_from={settings.init_from}"
    if not (path / "config.json").is_file():
        raise InputError(f"{flag} holds no run: name a folder that experiments.train made")
    if not (path / "result.json").is_file():
        raise InputError(f"{flag} is not finished: train it to its end first")
    origin = Settings.from_mapping(read_json(path / "config.json"))
    for name in _SAME:
        there, here = getattr(origin, name), getattr(settings, name)
        if there != here:
            setting = name.replace("_sizes", "_size")
            raise InputError(
                f"{flag} does not fit: it has --{setting}={getattr(origin, setting)} and this run "
                f"--{setting}={getattr(settings, setting)}; give the same"
            )
    origin = dataclasses.replace(origin, data_dir=settings.data_dir, mesh=None)
    return build(origin)


def _require_equal_shapes(old: TrainState, new: TrainState, settings: Settings) -> None:
    """Raises InputError if parameters or the optimizer's memory differ, as with a baseline."""
    one, other = (
        {
            jax.tree_util.keystr(path, simple=True, separator="/"): leaf.shape
            for path, leaf in jax.tree_util.tree_leaves_with_path(
                (state.params, state.opt_state.inner_state)
            )
        }
        for state in (old, new)
    )
    for name in [*other, *one]:
        if one.get(name) != other.get(name):
            raise InputError(
                f"--init_from={settings.init_from} does not fit: {name.partition('/')[2]} is "
                f"{one.get(name, 'absent')} in it and {other.get(name, 'absent')} here; choose a "
                "run with the same networks, images and baseline"
            )
