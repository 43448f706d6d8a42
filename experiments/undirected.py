"""The protocol of the paper on undirected posteriors (Vahdat et al. 2019): Tables 1 to 4, toys.

    python -m experiments.undirected --run_dir=DIR --scale=cpu --data_dir=DATA

Every cell (data set, size, posterior, groups, K) is a run of its own in DIR/cells, and each seed of
Table 3 one in DIR/structured, so a sweep that was stopped or killed goes on where it was. Writes
table.md (ours beside the paper's), orderings.md (which of the paper's claims hold), structured.md
(Table 3) and modes.md (of trained machines), all as pictures too, samples.png (mean images of bits
of the prior), annealing.png (Figure 3: errors of log Z) and toys.png (Figures 1 and 4: the gradient
through t sweeps) into DIR.
"""

from absl import flags

from experiments.papers import sweep
from experiments.papers.undirected import PROTOCOL
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
