"""A machine as one file, which NumPy reads without this library."""

import contextlib
import os
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from remjax.boltzmann.families import Bits, Family, Reals
from remjax.boltzmann.machine_checks import check_machine
from remjax.boltzmann.parameters import as_parameters
from remjax.boltzmann.rbm import RBM
from remjax.errors import InputError

_BIASES = ("visible_bias", "hidden_bias")
# A side of real units has its precisions beside the others; of bits there is nothing to say.
_PRECISIONS = ("visible_log_precision", "hidden_log_precision")
_NAMES = ("weights", *_BIASES, *_PRECISIONS)


def save_machine(path: str | os.PathLike[str], rbm: RBM) -> None:
    """Write `weights`, `visible_bias` and `hidden_bias` to an .npz file, in place of an older one.

    Of real units also `visible_log_precision` or `hidden_log_precision`.

    Args:
        path: of the file; its ending is .npz.
        rbm: one machine.

    Raises:
        InputError: for another ending, a folder that is missing or cannot be written, or a machine
            that is no RBM of finite parameters.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise InputError(f"{path} does not end in .npz: name it {path}.npz")
    if not isinstance(rbm, RBM):
        raise InputError(f"{type(rbm).__name__} is no RBM, which a file holds: save its arrays")
    check_machine(rbm)
    parts = {name: np.asarray(getattr(rbm, name)) for name in ("weights", *_BIASES)}
    for name, family in zip(_PRECISIONS, rbm.families, strict=True):
        if isinstance(family, Reals):
            parts[name] = np.asarray(family.log_precision)
    partial = path.with_name(f"{path.name}.partial.npz")
    try:
        np.savez(partial, allow_pickle=False, **parts)
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise InputError(
            f"cannot write {path}: {error.strerror or error}; name a file in a folder that exists "
            "and can be written"
        ) from error


def load_machine(path: str | os.PathLike[str]) -> RBM:
    """The machine of a file of `save_machine`, or of arrays that others saved by these names.

    Raises:
        InputError: for a file that is missing or holds no machine of finite numbers.
    """
    path = Path(path)
    if path.suffix != ".npz":
        # As np.savez adds the ending, the file that is meant may have it.
        whole = Path(f"{path}.npz")
        mend = whole if whole.is_file() else "a file of save_machine"
        raise InputError(f"{path} does not end in .npz: name {mend}")
    try:
        with np.load(path, allow_pickle=False) as file:
            parts = dict(file)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: name a file of save_machine") from None
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise InputError(f"{path} cannot be read: name a file of save_machine") from error
    missing = [name for name in ("weights", *_BIASES) if name not in parts]
    if missing:
        raise InputError(f"{path} holds no {missing[0]}: name a file of save_machine")
    parts = {name: value for name, value in parts.items() if name in _NAMES}
    for name, value in parts.items():
        if value.dtype.kind not in "biuf" or not np.isfinite(value).all():
            raise InputError(
                f"{path} holds {name} of type {value.dtype} that are not all finite numbers: name "
                "a file of save_machine"
            )

    def family(name: str) -> Family:
        return Reals(*as_parameters(parts[name])) if name in parts else Bits()

    visible, hidden = map(family, _PRECISIONS)
    weights, of_visible, of_hidden = as_parameters(*(parts[name] for name in ("weights", *_BIASES)))
    return RBM(weights, of_visible, of_hidden, visible, hidden)
