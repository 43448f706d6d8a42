"""A fit on disk: its parameters, its history, and what its default networks are made of.

    PATH/fit.json       everything that is no array, strict JSON
    PATH/parameters/    a checkpoint of the parameters (`training.checkpoints`)

No pickle is written or read, and no code: networks that are a user's own are given to `load`.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from remjax.errors import InputError
from remjax.training import checkpoints
from remjax.types import Model, Params, Recognition

_VERSION = 1


def write_fit(path: str | os.PathLike[str], params: Params, description: Mapping[str, Any]) -> None:
    """Keep parameters and what is said of them in a new folder.

    Args:
        path: the folder.
        params: theta and eta are kept, a baseline is not.
        description: in the types of JSON, without NaN.

    Raises:
        InputError: the folder holds something already, or cannot be written.
    """
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path} holds something already: choose another place")
    checkpoints.save(path / "parameters", 0, {"theta": params.theta, "eta": params.eta})
    # The last act: a folder without it is no fit.
    partial = path / ".fit.json"
    try:
        text = json.dumps({"version": _VERSION, **description}, allow_nan=False)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path / "fit.json")
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror or error}; free some space there"
        ) from error


def read_params(path: str | os.PathLike[str], model: Model, recognition: Recognition) -> Params:
    """The parameters in a folder, which are those of such networks.

    Raises:
        InputError: they are damaged, or those of others.
    """
    key = jax.random.key(0)
    theta, eta = jax.eval_shape(model.init, key), jax.eval_shape(recognition.init, key)
    return Params(**checkpoints.restore(Path(path) / "parameters", {"theta": theta, "eta": eta}))


def read_description(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """What `write_fit` was told.

    Raises:
        InputError: there is no fit, or it is damaged.
    """
    path = Path(path)
    try:
        description = json.loads((path / "fit.json").read_text(encoding="utf-8"))
        if description["version"] == _VERSION and {"networks", "row_shape", "history"} <= set(
            description
        ):
            return description
    except OSError as error:
        raise InputError(f"{path} holds no fit: name a folder that fit.save made") from error
    except (ValueError, KeyError, TypeError):
        pass  # damaged, which is said below
    raise InputError(f"{path}/fit.json is damaged, or of another version: save the fit again")
