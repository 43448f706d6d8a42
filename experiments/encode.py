"""What the recognition network makes of rows: the mean of each latent, in a table.

    python -m experiments.encode --run_dir=RUN --dataset=FILE --out=codes.csv

needs neither the data that RUN was trained on nor its optimizer. In a notebook,
`experiments.run.opened_run.open_run(RUN)` gives the model, its network and its parameters.
"""

from absl import flags

from experiments.run import command_line, using


def define_flags() -> None:
    """The run, the rows, and where the codes go."""
    using.define_flags()
    using.define_data_flags()
    flags.adopt_module_key_flags(using)  # otherwise --help would leave them out


def main() -> None:
    """Open the run, use it, and write the table."""
    using.run_with(using.encode)


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
