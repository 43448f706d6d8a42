"""Rows drawn from the model of a run, in the units of the file that it was trained on.

    python -m experiments.sample --run_dir=RUN --num_samples=100 --out=rows.csv

draws latents from the prior and rows from the likelihood; --nonoise gives the means of the rows.
"""

from absl import flags

from experiments.run import command_line, using


def define_flags() -> None:
    """The run, how many rows, and where they go."""
    using.define_flags()
    flags.DEFINE_integer("num_samples", 100, "rows that are drawn")
    flags.DEFINE_string(
        "condition", None, "values of what the run is conditioned on, in its order, as setosa,3.5"
    )
    flags.DEFINE_bool("noise", True, "draw the rows; otherwise their means given their latents")
    flags.adopt_module_key_flags(using)  # otherwise --help would leave them out


def main() -> None:
    """Open the run, use it, and write the table."""
    using.run_with(using.sample)


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
