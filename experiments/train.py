"""Fit a deep latent-variable model to images, evaluate it, save it, show it.

    python -m experiments.train --method=rem_v1 --dataset=digits --run_dir=RUN

writes into RUN: config.json, metrics.jsonl (one object per epoch), result.json, checkpoints/,
tensorboard/ and pictures/. Ctrl-C or SIGTERM saves and exits; --resume goes on, also after a kill,
to the very numbers that an uninterrupted run would have reached. --mesh=data:4,particles:2 spreads
the work over eight devices; on several hosts every one runs this command, with --num_hosts.
--help=METHOD explains the flags of a method, as --help=vr, and --help=MODEL those of a model.
"""

import functools

from absl import flags

from experiments.run import command_line, help, training


def define_flags() -> None:
    """The flags of a training run: where it is, and one for each setting."""
    training.define_flags()
    flags.adopt_module_key_flags(training)  # otherwise --help would leave them out


main = training.main
explain = functools.partial(help.explain, __doc__)

if __name__ == "__main__":
    define_flags()
    command_line.run(main, explain)
