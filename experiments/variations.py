"""Contrastive divergence with and without the term that it leaves out (Bachman & Precup 2015, 5.4).

    python -m experiments.variations --scale=cpu --run_dir=DIR

Small restricted Boltzmann machines learn bars and stripes, the shifter ensemble and digits reduced
to 16 bits, by CD-k alone, by CD-k with the term (45), by exact maximum likelihood and by PCD-1. The
scale cpu took 59 minutes of 2 cores beside other work.
Writes table.md (exact log-likelihoods), gradients.md (bias and noise of the gradients), both as
pictures too, picture.png (log-likelihood against updates) and rows.json into DIR.
"""

import os
from pathlib import Path

import jax
from absl import flags

from experiments.papers.variations import SCALES, run
from experiments.run import command_line
from experiments.run.choices import look_up
from remjax.errors import InputError

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Where the report goes, and how much is run."""
    flags.DEFINE_string("run_dir", None, "folder of the report; an earlier one there is replaced")
    flags.DEFINE_string("scale", "cpu", "how much is run: smoke (a minute), cpu (an hour)")
    flags.DEFINE_list("tasks", None, "tasks: bars, shifter, digits; default those of the scale")
    flags.DEFINE_integer("seeds", None, "seeds of each training; default those of the scale")


def main() -> None:
    """Train, print the tables, write the report."""
    if not FLAGS.run_dir:
        raise InputError("--run_dir is missing: name a folder, as --run_dir=runs/variations")
    scale = look_up(SCALES, "scale", FLAGS.scale)
    if FLAGS.scale == "smoke" and "XLA_FLAGS" not in os.environ:
        # Programs that run for milliseconds are not worth optimizing.
        jax.config.update("jax_disable_most_optimizations", True)
    if FLAGS.tasks:
        chosen = {name: look_up(scale.tasks, "tasks", name) for name in FLAGS.tasks}
        scale = scale._replace(tasks=chosen)
    if FLAGS.seeds is not None:
        if FLAGS.seeds < 1:
            raise InputError(f"--seeds={FLAGS.seeds} cannot be: give a positive number")
        scale = scale._replace(length=scale.length._replace(seeds=FLAGS.seeds))
    root = Path(FLAGS.run_dir)
    print(run(root, scale))
    print(f"\nthe tables and the pictures are in {root}")


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
