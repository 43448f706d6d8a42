"""Several runs side by side: what they have reached, in what they differ, and how they got there.

    python -m experiments.compare RUN RUN ... --out=curves.png

prints a table with the settings in which the runs differ and the columns of their results, and
draws their learning curves. Runs that are not finished have no result yet, and their curve so far.
"""

from absl import flags

from experiments.run import command_line, comparing


def define_flags() -> None:
    """Where the picture goes."""
    comparing.define_flags()
    flags.adopt_module_key_flags(comparing)  # otherwise --help would leave them out


main = comparing.main

if __name__ == "__main__":
    define_flags()
    command_line.run(main)
