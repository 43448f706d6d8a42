"""Decoder and encoder of a run as programs that load where JAX is, without this library.

    python -m experiments.export --run_dir=RUN --out=FOLDER

makes encoder.bin and decoder.bin (`jax.export`), for any batch size, on a CPU and on CUDA, and
export.json, which says what goes in and what comes out. `--out` is a new folder.
"""

from absl import flags

from experiments.run import command_line, using
from experiments.run.opened_run import open_run
from experiments.run.stopping import cleaning_up_on_sigterm
from remjax.errors import InputError

FLAGS = flags.FLAGS


def define_flags() -> None:
    """The run, and where the programs go."""
    flags.DEFINE_string("run_dir", None, "folder of the run, as experiments.train wrote it")
    flags.DEFINE_string("out", None, "new folder for the programs")


def main() -> None:
    """Open the run and write its programs."""
    using.require_run()
    if not FLAGS.out:
        raise InputError("--out is missing: name a new folder, as --out=exported")
    with cleaning_up_on_sigterm():
        using.export(open_run(FLAGS.run_dir), FLAGS.out)
    print(f"encoder.bin, decoder.bin and export.json are in {FLAGS.out}")


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
