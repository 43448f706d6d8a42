"""The protocol of the IWAE paper (Burda, Grosse & Salakhutdinov 2015): Tables 1, 2, 3, its figures.

    python -m experiments.iwae --run_dir=DIR --scale=cpu --data_dir=DATA

Every cell (data set, stochastic layers, objective, k) is a run of its own in DIR/cells, so a sweep
that was stopped or killed goes on where it was. Writes table.md (ours beside the paper's),
active_latents.md and orderings.md (which of the paper's claims hold), all three as pictures too,
and activity.png (histogram of log A_u), samples.png and posteriors.png (two latents) into DIR.
"""

from absl import flags

from experiments.papers import sweep
from experiments.papers.iwae import PROTOCOL
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
