"""The command `remjax`, for who has installed the library and has no clone.

    remjax train --dataset=mine.csv --run_dir=runs/first

is `python -m experiments.train` of a clone; so are evaluate, encode, reconstruct, sample, impute,
export, compare and methods. In a wheel the commands lie beside the library and not among the
packages of the environment, where the name `experiments` may be a user's own.
"""

import functools
import importlib
import sys
from pathlib import Path

COMMANDS = {
    "train": "fit a model, evaluate it, save it, show it",
    "evaluate": "score a finished run again, with more particles or more rows",
    "encode": "the codes of rows",
    "reconstruct": "rows as the model has them at their codes",
    "sample": "rows drawn from the model",
    "impute": "rows with what is missing filled in",
    "export": "decoder and encoder as programs that load without this library",
    "compare": "several runs side by side",
    "methods": "the table of methods, and the knobs of each",
}
# What a wheel has; in a clone, or installed from one with `pip install -e`, Python finds the rooms.
_INSTALLED = Path(__file__).parent / "commands"


def main() -> None:
    """Run the command that is named first, with the flags after it."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("--help", "-h", "help"):
        print(_usage())
        return
    if name == "--version":
        from importlib.metadata import version

        print(f"remjax {version('remjax')}")
        return
    if name not in COMMANDS:
        print(f"error: {name!r} is no command: use one of {', '.join(COMMANDS)}", file=sys.stderr)
        sys.exit(2)
    if _INSTALLED.is_dir():
        sys.path.insert(0, str(_INSTALLED))
    command = importlib.import_module(f"experiments.{name}")
    command_line = importlib.import_module("experiments.run.command_line")
    help = importlib.import_module("experiments.run.help")
    listed = functools.partial(help.listed, command.__name__, command.__doc__)
    sys.argv = [f"remjax {name}", *sys.argv[2:]]
    command.define_flags()
    command_line.run(command.main, getattr(command, "explain", listed))


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name.ljust(width)}  {meaning}" for name, meaning in COMMANDS.items()]
    return "\n".join(
        [
            "usage: remjax COMMAND --flag=value ...",
            "",
            *lines,
            "",
            "remjax COMMAND --help explains.",
        ]
    )


if __name__ == "__main__":
    main()
