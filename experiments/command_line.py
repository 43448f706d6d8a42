"""How every binary starts and fails: one clear line on standard error and exit code 2."""

import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from absl import app, flags, logging

from remjax.errors import InputError


def run(main: Callable[[], None]) -> None:
    """Parse the flags and run `main`; what a user can mend is told in one line.

    Exit codes: 0 done (or stopped by a signal, with everything saved), 2 what was asked for cannot
    be done.
    """
    logging.set_verbosity(logging.WARNING)

    def parse(argv: Sequence[str]) -> list[str]:
        try:
            rest = flags.FLAGS(argv)
        except flags.Error as error:
            _fail(str(error).replace("\n", " "))
        if len(rest) > 1:
            _fail(f"{rest[1]!r} is no flag: write --flag=value")
        return rest

    def guarded(_: Sequence[str]) -> None:
        try:
            main()
        except InputError as error:
            _fail(str(error))

    app.run(guarded, flags_parser=parse)


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
