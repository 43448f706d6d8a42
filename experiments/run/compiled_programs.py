"""Compiled programs are kept, so that a second run of the same shapes starts in seconds."""

from pathlib import Path

import jax
from absl import flags

from remjax.errors import InputError

FLAGS = flags.FLAGS

# What compiles faster than this many seconds is compiled again: reading it back gains little.
_WORTH_KEEPING = 0.2


def define_flags() -> None:
    """Where they are kept."""
    flags.DEFINE_string(
        "compilation_cache",
        None,
        "folder of compiled programs, which a later run of the same sizes reads; none to keep "
        "none; default JAX_COMPILATION_CACHE_DIR, or else remjax/compiled in the user's folder of "
        "caches",
    )


def keep() -> None:
    """Have JAX keep its programs where the flag says.

    Raises:
        InputError: the folder that the flag names cannot be made.
    """
    asked = FLAGS.compilation_cache
    if asked == "none":
        jax.config.update("jax_enable_compilation_cache", False)
        return
    if asked is None and jax.config.jax_compilation_cache_dir is not None:
        return
    folder = Path(asked).expanduser() if asked else _default()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if asked is None:  # a home that cannot be written is no reason not to run
            return
        raise InputError(
            f"--compilation_cache={asked} cannot be made: {error.strerror}; name another folder, "
            "or none"
        ) from error
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _WORTH_KEEPING)


def _default() -> Path:
    import pooch  # slow to import, and it knows where this system keeps caches

    return Path(pooch.os_cache("remjax")) / "compiled"
