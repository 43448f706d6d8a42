"""How every command starts, and how it fails: one clear line on standard error, exit code 2."""

import errno
import inspect
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import jax
from absl import app, flags, logging
from jax.errors import JaxRuntimeError

from experiments.run import compiled_programs
from remjax.errors import InputError

# Errors of a disk that is full or may not be written to; any other is one of the program.
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}


def run(main: Callable[..., None], explain: Callable[[str | None], str] | None = None) -> None:
    """Parse the flags and run `main`; an error that a user can mend becomes one line.

    Args:
        main: the command. What stands on the line beside flags is handed to it, where it takes
            positional arguments, and is refused otherwise.
        explain: NAME -> the text of --help=NAME; None -> that of --help. By default absl's.

    Exit codes: 0 done (or stopped by a signal, with everything saved), 1 another host is lost, 2
    the command cannot be carried out, 130 interrupted by Ctrl-C, 141 nobody reads on (`| head`).
    """
    logging.set_verbosity(logging.WARNING)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a log file follows the run

    compiled_programs.define_flags()
    # The flag is of every command, and stands in the --help of each.
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS["compilation_cache"])

    def parse(argv: Sequence[str]) -> list[str]:
        for argument in argv[1:] if explain else ():
            flag, _, name = argument.partition("=")
            if flag in ("--help", "-help", "-h"):
                _print_help(explain, name or None)
        try:
            rest = flags.FLAGS(argv)
        except flags.Error as error:
            _fail(f"{error}; --help explains every flag".replace("\n", " "))
        if len(rest) > 1 and not inspect.signature(main).parameters:
            _fail(f"{rest[1]!r} is no flag: write --flag=value")
        return rest

    def guarded(argv: Sequence[str]) -> None:
        try:
            compiled_programs.keep()
            main(*argv[1:])
        except InputError as error:
            _fail(str(error))
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)
        except OSError as error:
            if error.errno not in _OF_THE_DISK:
                raise
            place = f"{error.filename}: " if error.filename else ""
            _fail(f"{place}{error.strerror or error}; free some space, or choose another place")
        except (JaxRuntimeError, ValueError, MemoryError) as error:
            reason = str(error).partition("\n")[0]
            if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
                _fail(
                    f"not enough memory ({reason}): lower the sizes of the networks, "
                    "--batch_size, --chunk_size, --num_replicas or --eval_num_particles"
                )
            if isinstance(error, JaxRuntimeError) and jax.process_count() > 1:
                _leave(f"lost touch with another host ({reason}): go on with --resume on all")
            raise

    try:
        app.run(guarded, flags_parser=parse)
    except BrokenPipeError:  # who reads the output has seen enough
        _close_stdout()
        sys.exit(141)  # as a shell counts a process that SIGPIPE ended


def _print_help(explain: Callable[[str | None], str], name: str | None) -> NoReturn:
    try:
        print(explain(name), flush=True)
    except InputError as error:
        _fail(str(error))
    except BrokenPipeError:  # a pager or `head` has seen enough
        _close_stdout()
    sys.exit(0)


def _close_stdout() -> None:
    """Let what is still to be written go nowhere, also at the end of the process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def _leave(message: str) -> NoReturn:
    """End at once: the ordinary end of a host waits for all the others, and one is gone."""
    print(f"error: {message}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(1)
