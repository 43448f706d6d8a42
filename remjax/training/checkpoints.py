"""Checkpoints: the whole state of a training run on disk, whole or absent.

A checkpoint of step 1200 is the directory `00001200`. It is written under another name, brought to
the disk, and renamed as the last act, so a process that is killed at any moment leaves the
checkpoints before it as they were. Orbax writes the arrays; no pickle is written or read.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from remjax.errors import InputError

if TYPE_CHECKING:
    import orbax.checkpoint as ocp

# The only name that is ever unfinished: it is never read, and the next save removes it.
_UNFINISHED = "unfinished"
# Inside a checkpoint: what Orbax wrote, and the leaves and checksums that it must have.
_ARRAYS = "arrays"
_MANIFEST = "manifest.json"


def save(directory: str | os.PathLike[str], step: int, tree: Any, *, keep: int = 2) -> None:
    """Saves a tree as the checkpoint of a step, then removes all but the last few checkpoints.

    Returns when the checkpoint is on the disk. Kill -9 or a power cut at any moment leaves either
    this checkpoint whole or the ones before it untouched.

    Args:
      directory: Where the checkpoints of one run lie; made if it is missing. Only one process may
        save there at a time; of several hosts, whose arrays are the same, the first.
      step: A count that names the checkpoint, at least 0 and later than every checkpoint there.
      tree: A pytree of JAX arrays, typed PRNG keys (`jax.random.key`) and NumPy arrays.
      keep: How many checkpoints stay, the latest first; at least 1.

    Raises:
      InputError: The step is not later than those saved, or the disk is full or read-only.
    """
    if step < 0 or keep < 1:
        raise InputError(f"step must be at least 0 and keep at least 1, not {step} and {keep}")
    directory = Path(directory).absolute()
    latest = latest_step(directory)
    if latest is not None and step <= latest:
        raise InputError(
            f"{directory} holds a checkpoint of step {latest} and cannot take one of step {step}: "
            "save a later step, or choose another directory"
        )
    leaves = _named_leaves(tree)
    # From the host's memory: a checkpoint knows nothing of the devices that the arrays lay on.
    # Orbax does not store arrays without elements; their shape says all there is to know.
    arrays = {name: _on_host(leaf) for name, leaf in leaves.items() if leaf.size}
    unfinished = directory / _UNFINISHED
    new = unfinished / _name(step)
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        _require_space(unfinished, sum(leaf.nbytes for leaf in arrays.values()))
        with _checkpointer() as checkpointer:
            checkpointer.save(new / _ARRAYS, args=_saving(arrays))
        manifest = {"leaves": _descriptions(leaves), "sha256": _checksums(new / _ARRAYS)}
        (new / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        _bring_to_disk(new)
        new.rename(directory / _name(step))
        _fsync(directory)
        for old in _steps(directory)[:-keep]:
            # Renamed first, because a kill in the middle of rmtree would leave half a checkpoint.
            (directory / _name(old)).rename(unfinished / _name(old))
        shutil.rmtree(unfinished)
    except (OSError, ValueError) as error:  # Orbax passes some errors of the disk on as ValueError
        shutil.rmtree(unfinished, ignore_errors=True)
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise InputError(
            f"cannot save the checkpoint of step {step} in {directory}: {reason}; "
            "free some space there, or choose a directory that can be written"
        ) from error


def restore(
    directory: str | os.PathLike[str],
    template: Any,
    *,
    step: int | None = None,
    part: str | None = None,
) -> Any:
    """Reads a checkpoint, or a part of it, into the structure, types and devices of a template.

    Args:
      directory: Where `save` put the checkpoints.
      template: A pytree like the one saved: its leaves are arrays, whose values do not matter, or
        `jax.ShapeDtypeStruct`. Each array comes back with the sharding of its template (the default
        device where the template has none), whatever the sharding it was saved with; NumPy comes
        back as NumPy.
      step: Which checkpoint; the latest by default.
      part: The name of the field of the tree that the template is a template of: `params` of a
        `TrainState` comes back without the optimizer that made it. The whole tree by default.

    Returns:
      The tree, bit for bit as it was saved.

    Raises:
      InputError: There is no such checkpoint, it is damaged, or it is of another structure: the
        message names the first leaf that differs.
    """
    directory = Path(directory).absolute()
    step = latest_step(directory) if step is None else step
    if step is None:
        raise InputError(f"{directory} holds no checkpoint: save one, or choose another directory")
    path = directory / _name(step)
    if not path.is_dir():
        raise InputError(
            f"{directory} holds no checkpoint of step {step}: choose among {_steps(directory)}"
        )
    leaves = _named_leaves(template if part is None else {part: template})
    manifest = _checked_manifest(path)
    there = {
        name: form
        for name, form in manifest["leaves"].items()
        if part is None or name.startswith(f"{part}/")
    }
    _require_equal(there, _descriptions(leaves), path)
    targets = {name: _blank(leaf) for name, leaf in leaves.items()}
    stored = {name: target for name, target in targets.items() if target.size}
    with _checkpointer() as checkpointer:
        arrays = checkpointer.restore(path / _ARRAYS, args=_reading(stored))
    arrays = targets | arrays
    placed = [_place(arrays[name], leaf) for name, leaf in leaves.items()]
    return jax.tree.unflatten(jax.tree.structure(template), placed)


def latest_step(directory: str | os.PathLike[str]) -> int | None:
    """The step of the latest whole checkpoint in a directory, or None if there is none."""
    steps = _steps(Path(directory))
    return steps[-1] if steps else None


def _name(step: int) -> str:
    return f"{step:08d}"


def _steps(directory: Path) -> list[int]:
    """The steps of the whole checkpoints in a directory, in order."""
    if not directory.is_dir():
        return []
    return sorted(int(entry.name) for entry in directory.iterdir() if entry.name.isdecimal())


def _checkpointer() -> "ocp.Checkpointer":
    """The synchronous Orbax checkpointer, which leaves no threads behind and waits for no host."""
    import orbax.checkpoint as ocp  # half a second to import, and only who saves or reads needs it

    alone = ocp.options.MultiprocessingOptions(
        primary_host=jax.process_index(), active_processes={jax.process_index()}
    )
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)


def _saving(arrays: dict[str, np.ndarray]) -> "ocp.args.PyTreeSave":
    """Writes these arrays."""
    import orbax.checkpoint as ocp

    return ocp.args.PyTreeSave(arrays)


def _reading(stored: dict[str, np.ndarray]) -> "ocp.args.PyTreeRestore":
    """Reads these arrays of a checkpoint into the host's memory, and leaves others on the disk."""
    import orbax.checkpoint as ocp

    as_numpy = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in stored}
    return ocp.args.PyTreeRestore(item=stored, restore_args=as_numpy, partial_restore=True)


def _named_leaves(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by their paths, such as `params/theta/w`, in the order of the tree."""
    leaves = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if not isinstance(leaf, jax.Array | np.ndarray | jax.ShapeDtypeStruct):
            raise TypeError(f"the leaf {name} is a {type(leaf).__name__}: make it an array")
        if name in leaves:
            raise ValueError(f"two leaves of the tree have the path {name}: rename one of them")
        leaves[name] = leaf
    return leaves


def _descriptions(leaves: dict[str, Any]) -> dict[str, str]:
    """The type and shape of each leaf, such as `float32[784,200]` or, for a key, `key<fry>[]`."""
    shapes = {name: ",".join(map(str, leaf.shape)) for name, leaf in leaves.items()}
    return {name: f"{leaf.dtype}[{shapes[name]}]" for name, leaf in leaves.items()}


def _require_equal(saved: dict[str, str], wanted: dict[str, str], path: Path) -> None:
    """Raises InputError at the first leaf in which a checkpoint and a template differ."""
    for name in [*wanted, *saved]:
        if saved.get(name) != wanted.get(name):
            there, here = saved.get(name, "absent"), wanted.get(name, "absent")
            raise InputError(
                f"the checkpoint {path} does not fit: {name} is {there} in it and {here} here; "
                "build the model and the optimizer as they were, or choose another directory"
            )


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _on_host(leaf: Any) -> np.ndarray:
    """The values of a leaf; of a key, its data."""
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _blank(leaf: Any) -> np.ndarray:
    """An array in the host's memory for the values of a leaf like that of a template."""
    raw = jax.eval_shape(jax.random.key_data, leaf) if _is_key(leaf) else leaf
    return np.zeros(raw.shape, raw.dtype)


def _place(values: np.ndarray, leaf: Any) -> Any:
    """The values as a leaf like that of the template, on its devices."""
    if isinstance(leaf, np.ndarray):
        return values
    sharding = leaf.sharding or jax.sharding.SingleDeviceSharding(jax.devices()[0])
    if not _is_key(leaf):
        return jax.device_put(values, sharding)
    impl = jax.random.key_impl(jnp.empty((), leaf.dtype))
    return jax.device_put(jax.random.wrap_key_data(jnp.asarray(values), impl=impl), sharding)


def _require_space(directory: Path, num_bytes: int) -> None:
    """Raises OSError if the disk, a quota or a limit does not allow that many bytes and a few more.

    Orbax meets a full disk too, but only after hundreds of lines of tracebacks on standard error.
    """
    trial = directory / "trial"
    block = bytes(1 << 20)
    with trial.open("wb") as file:
        for _ in range(num_bytes // len(block) + 2):
            file.write(block)
    trial.unlink()


def _checksums(directory: Path) -> dict[str, str]:
    """The SHA-256 of every file below a directory, by its path from there."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def _checked_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a checkpoint, once every file has proved to be as it was written."""
    try:
        manifest = json.loads((path / _MANIFEST).read_text(encoding="utf-8"))
        if manifest["sha256"] == _checksums(path / _ARRAYS):
            return manifest
    except (OSError, ValueError, KeyError, TypeError):
        pass  # the same damage, met earlier
    raise InputError(
        f"the checkpoint {path} is damaged: remove that directory to go on from the one before it"
    )


def _bring_to_disk(directory: Path) -> None:
    """Flushes every file and folder of a directory; Orbax flushes only the arrays."""
    for folder, _, files in os.walk(directory):
        for file in files:
            _fsync(Path(folder, file))
        _fsync(Path(folder))


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
