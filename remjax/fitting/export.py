"""Decoder and encoder as programs that load without this library (`jax.export`)."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import export
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from remjax.errors import InputError
from remjax.evaluation.codes import code
from remjax.types import Model, Params, Recognition

_VERSION = 1
_PLATFORMS = ("cpu", "cuda")


def write_export(
    folder: str | os.PathLike[str],
    model: Model,
    recognition: Recognition,
    params: Params,
    data_size: int,
    about: Mapping[str, Any] | None = None,
) -> None:
    """Two programs with the parameters inside, for batches of any size, on a CPU and on CUDA.

    encoder.bin: x [batch, X + C] -> E_r[z | x] [batch, D], the layers of several side by side, z_1
    (nearest the data) first (`evaluation.code`). decoder.bin: (z [batch, D], and c [batch, C] of a
    model with a condition) -> E[x | z] [batch, X]. export.json says so of these two. They load
    where JAX is:

        program = jax.export.deserialize(open("decoder.bin", "rb").read())
        x = program.call(z)

    Args:
        folder: a new one, which is whole or absent.
        model: with a mean E[x | z].
        recognition: r_eta(z | x).
        params: theta and eta; both are rounded nowhere.
        data_size: X + C, the numbers of a datapoint.
        about: more for export.json, in the types of JSON: how columns were made, say.

    Raises:
        InputError: the folder holds something already or cannot be written, or the model has no
            mean.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} holds something already: choose another place")
    size = model.support.condition
    if model.at(jnp.zeros(size)).mean is None:
        raise InputError("the model has no mean E[x | z], which a decoder is: give it one")
    # Where the mean of r has no closed form, it is of the same draws for every datapoint.
    key = jax.random.key(0)
    form = jax.eval_shape(lambda x: code(recognition.r(params.eta, x), key), jnp.zeros(data_size))
    flat, unravel = ravel_pytree(jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), form))

    def encode(x: Float[Array, " X"]) -> Float[Array, " D"]:
        return ravel_pytree(code(recognition.r(params.eta, x), key))[0]

    def decode(z: Float[Array, " D"], *condition: Float[Array, " C"]) -> Float[Array, " X"]:
        given = model.at(condition[0]) if condition else model
        assert given.mean is not None
        return given.mean(params.theta, unravel(z))

    sizes = {"z": flat.size} | ({"condition": size} if size else {})
    programs = {
        "encoder": (encode, {"x": data_size}, "z"),
        "decoder": (decode, sizes, "x"),
    }
    made = {name: _program(function, inputs) for name, (function, inputs, _) in programs.items()}
    description = {
        "version": _VERSION,
        "jax": jax.__version__,
        "platforms": _PLATFORMS,
        "condition_size": size,
        **{
            name: {
                "file": f"{name}.bin",
                "inputs": _shapes(inputs),
                "outputs": _shapes({output: made[name].out_avals[0].shape[1]}),
            }
            for name, (_, inputs, output) in programs.items()
        },
        **(about or {}),
    }
    contents = {f"{name}.bin": bytes(one.serialize()) for name, one in made.items()}
    text = json.dumps(description, indent=2, allow_nan=False) + "\n"
    _write(folder, contents | {"export.json": text.encode()})


def _program(
    function: Callable[..., Float[Array, " Y"]], inputs: Mapping[str, int]
) -> export.Exported:
    """The function of one datapoint, over a batch of any size."""
    (batch,) = export.symbolic_shape("batch")
    forms = [jax.ShapeDtypeStruct((batch, size), jnp.float32) for size in inputs.values()]
    return export.export(jax.jit(jax.vmap(function)), platforms=_PLATFORMS)(*forms)


def _shapes(sizes: Mapping[str, int]) -> list[dict[str, Any]]:
    return [
        {"name": name, "shape": ["batch", size], "dtype": "float32"} for name, size in sizes.items()
    ]


def _write(folder: Path, contents: Mapping[str, bytes]) -> None:
    """The files in a new folder, all or none."""
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, content in contents.items():
            (partial / name).write_bytes(content)
        partial.replace(folder)
    except OSError as error:
        raise InputError(
            f"cannot write {folder}: {error.strerror or error}; free some space there, or choose "
            "a place that can be written"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
