"""All methods, family by family, with their knobs: tables read from the library's values.

    python -m experiments.methods --method=vr

prints one method with its knobs; without --method every method, with the defaults of its knobs.
"""

from absl import flags

from experiments.run import command_line
from experiments.run.help import explain, family_table
from experiments.run.methods import FAMILIES, family_of

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Which method."""
    flags.DEFINE_string("method", None, "the one method to show; default all")


def main() -> None:
    """Print the table of each family, or that of one method with its knobs."""
    name = FLAGS.method
    if name:
        family_of(name)  # refuses what is no method
        print(explain("", name))
    else:
        print("\n\n".join(family_table(family, list(family.methods)) for family in FAMILIES))


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
