"""All methods, family by family, with their knobs: tables read from the library's values.

    python -m experiments.methods --method=vr

prints one method with its knobs; without --method every method, with the defaults of its knobs.
"""

from collections.abc import Sequence

from absl import flags

from experiments.output.tables import markdown
from experiments.run import command_line
from experiments.run.families import Family
from experiments.run.methods import FAMILIES, accepts, default_of, family_of, knobs

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Which method."""
    flags.DEFINE_string("method", None, "the one method to show; default all")


def rows(names: Sequence[str]) -> list[dict[str, str]]:
    """A row for each of some methods of one family."""
    return [{"method": name, **family_of(name).row(default_of(name))} for name in names]


def knobs_of(name: str) -> list[str]:
    """A line for each option of a method."""
    lines = [
        f"--{option}: {knob.meaning.rpartition('; for ')[0]}"
        for option, knob in knobs().items()
        if name in knob.methods
    ]
    keeps = "--keep: M, particles per image that carry the gradient"
    return [*lines, keeps] if accepts(name, "keep") else lines


def table(family: Family, names: Sequence[str]) -> str:
    """Some methods of a family, a row for each, and what the columns mean."""
    shown = rows(names)
    return f"{markdown(shown, list(shown[0]))}\n\n{family.legend}"


def main() -> None:
    """Print the table of each family, or that of one method with its knobs."""
    name = FLAGS.method
    if name:
        print("\n".join([table(family_of(name), [name]), "", *knobs_of(name)]))
    else:
        print("\n\n".join(table(family, list(family.methods)) for family in FAMILIES))


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
