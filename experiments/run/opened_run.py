"""A run opened without its data and without its optimizer: the fitted model, ready for use."""

import dataclasses
import os
from pathlib import Path
from typing import Any, NamedTuple

import jax

from experiments.output.files import read_json
from experiments.run.data_facts import DataFacts, facts_from_json
from experiments.run.kinds import fitting_kind
from experiments.run.settings import Settings
from remjax.errors import InputError
from remjax.training import checkpoints
from remjax.types import Model, Params, Recognition


class OpenedRun(NamedTuple):
    """The fitted model of a run.

    Attributes:
        settings: of the run.
        facts: of the data that it was trained on.
        model: p_theta(x, z).
        recognition: r_eta(z | x).
        params: theta and eta after the last checkpoint, of the first seed.
    """

    settings: Settings
    facts: DataFacts
    model: Model
    recognition: Recognition
    params: Params


def open_run(path: str | os.PathLike[str]) -> OpenedRun:
    """The model that a run has fitted, as far as it has come.

    Raises:
        InputError: there is no run, it is of a model without a recognition network, or its files
            cannot be read.
    """
    path = Path(path)
    if not (path / "data.json").is_file():
        raise InputError(f"{path} holds no run: give a --run_dir that experiments.train made")
    settings = Settings.from_mapping(read_json(path / "config.json"))
    settings = dataclasses.replace(settings, mesh=None)
    facts = facts_from_json(read_json(path / "data.json"))
    estimator, parts = fitting_kind(settings).build(settings, facts, None)
    if not hasattr(parts, "recognition"):
        raise InputError(
            f"{path} is a run of --model={settings.model}, which has no recognition network: this "
            "command is for models that have one"
        )
    template = jax.eval_shape(lambda key: estimator.init(key)[0], jax.random.key(0))
    count = settings.num_replicas

    def of_all(leaf: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((count, *leaf.shape), leaf.dtype)

    wanted = template if count == 1 else jax.tree.map(of_all, template)
    params = checkpoints.restore(path / "checkpoints", wanted, part="params")
    if count > 1:
        params = jax.tree.map(lambda leaf: leaf[0], params)
    return OpenedRun(settings, facts, parts.model, parts.recognition, params)
