"""The protocol of the REM paper (Dieng & Paisley 2019): Table 2, Figures 1 and 2.

    python -m experiments.rem --run_dir=DIR --scale=cpu --data_dir=DATA

Every cell (data set, method, K) is a run of its own in DIR/cells, so a sweep that was stopped or
killed goes on where it was. Writes table.md and table.png (ours beside the paper's), the pictures
train_log_likelihoods.png and test_log_likelihoods.png (Figure 1) and kl_against_particles.png
(Figure 2) into DIR.
"""

from absl import flags

from experiments.papers import sweep
from experiments.papers.rem import PROTOCOL
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
