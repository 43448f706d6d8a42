"""What the model makes of rows: their means given their codes, in the units of the file.

    python -m experiments.reconstruct --run_dir=RUN --dataset=FILE --out=rows.csv

has the columns of the run, in its order.
"""

from absl import flags

from experiments.run import command_line, using


def define_flags() -> None:
    """The run, the rows, and where the reconstructions go."""
    using.define_flags()
    using.define_data_flags()
    flags.adopt_module_key_flags(using)  # otherwise --help would leave them out


def main() -> None:
    """Open the run, use it, and write the table."""
    using.run_with(using.reconstruct)


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
