"""State-space models learned by particle filters: IWAE, FIVO, RWS and REM step by step.

    python -m experiments.sequential --scale=cpu --run_dir=DIR

A linear-Gaussian model, which a Kalman filter judges exactly, and a nonlinear one of the rows of
images, read from top to bottom. All methods score as many particles a step. Writes table.md (bounds
of held-out sequences, distance to the best that Kalman finds) and table.png, picture.png (the bound
against updates) and rows.json into DIR.
"""

import os
from pathlib import Path

import jax
from absl import flags

from experiments.papers.sequential import SCALES, run
from experiments.run import command_line
from experiments.run.choices import look_up
from remjax.errors import InputError

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Where the report goes, and how much is run."""
    flags.DEFINE_string("run_dir", None, "folder of the report; an earlier one there is replaced")
    flags.DEFINE_string("scale", "cpu", "how much is run: smoke (a minute), cpu (20 minutes)")
    flags.DEFINE_list("tasks", None, "tasks: linear, digits, mnist; default those of the scale")
    flags.DEFINE_integer("seeds", None, "seeds of each training; default those of the scale")
    flags.DEFINE_string("data_dir", None, "folder of the files of MNIST, for --tasks=mnist")


def main() -> None:
    """Train, print the table, write the report."""
    if not FLAGS.run_dir:
        raise InputError("--run_dir is missing: name a folder, as --run_dir=runs/sequential")
    scale = look_up(SCALES, "scale", FLAGS.scale)
    if FLAGS.scale == "smoke" and "XLA_FLAGS" not in os.environ:
        # Programs that run for milliseconds are not worth optimizing.
        jax.config.update("jax_disable_most_optimizations", True)
    if FLAGS.tasks:
        tasks = {name: look_up(scale.tasks, "tasks", name) for name in FLAGS.tasks}
        scale = scale._replace(default=tuple(tasks))
    if FLAGS.seeds is not None:
        if FLAGS.seeds < 1:
            raise InputError(f"--seeds={FLAGS.seeds} cannot be: give a positive number")
        scale = scale._replace(seeds=FLAGS.seeds)
    root = Path(FLAGS.run_dir)
    print(run(root, scale, FLAGS.data_dir))
    print(f"\nthe table and the picture are in {root}")


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
