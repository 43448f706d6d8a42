"""The protocol of the review (Islam, Gao & Johne): Figures 2 to 11, and Figure 11 made fair.

    python -m experiments.review --run_dir=DIR --scale=cpu --data_dir=DATA

Every cell is a run of its own in DIR/cells, so a sweep that was stopped or killed goes on where it
was. The paper prints curves and no numbers. Writes table.md and orderings.md (which of the paper's
claims hold), both as pictures too, and figure_2.png to figure_11_fair_bits.png into DIR.
"""

from absl import flags

from experiments.papers import sweep
from experiments.papers.review import PROTOCOL
from experiments.run import command_line


def define_flags() -> None:
    """Where the sweep is, and how much of it."""
    sweep.define_flags(PROTOCOL)
    flags.adopt_module_key_flags(sweep)  # otherwise --help would leave them out


def main() -> None:
    """Run the sweep and write its report."""
    sweep.run_sweep(PROTOCOL)


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
