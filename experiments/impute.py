"""The rows of a file with what is missing filled in: its expectation given the rest of the row.

    python -m experiments.impute --run_dir=RUN --dataset=FILE --out=filled.csv

weights particles of the recognition network (Mattei & Frellsen 2019). RUN was trained with
--missing=marginalize. What is there stays as it is, and columns that RUN has not are passed on.
"""

from absl import flags

from experiments.run import command_line, using


def define_flags() -> None:
    """The run, the rows, and how many particles fill them in."""
    using.define_flags()
    using.define_data_flags()
    flags.DEFINE_integer("num_particles", 1000, "K, particles for each row")
    flags.adopt_module_key_flags(using)  # otherwise --help would leave them out


def main() -> None:
    """Open the run, use it, and write the table."""
    using.run_with(using.impute)


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
