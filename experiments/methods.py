"""All methods as rows of four choices, with their knobs: a table read from the library's values.

    python -m experiments.methods --method=vr

prints one method with its knobs; without --method every method, with the defaults of its knobs.
"""

from absl import flags

from experiments.output.tables import markdown
from experiments.run import command_line
from experiments.run.choices import look_up
from experiments.run.methods import METHODS, accepts, default_of, knobs

FLAGS = flags.FLAGS

LEGEND = """\
Each ascends a sum over particles; "over" says where they come from, for eta where it is not as for
theta. w: a particle's normalised weight, w^b that under a power of the weights. log w: log p(x, z)
- log r(z | x). z(eta): the gradient passes through the draw. s: matches the weighted particles of
r; "r and s together": weighted as draws of 1/2 r + 1/2 s. L: the importance-weighted bound, L_-k
that without particle k. C, c, v: baseline, running mean and variance. b, e: powers on the path from
r to p, and the excess of log w. phi: the log odds of r; z': the antithetic partner. Shares of
groups: those of theta, those of eta."""


def define_flags() -> None:
    """Which method."""
    flags.DEFINE_string("method", None, "the one method to show; default all")


def rows(names: list[str]) -> list[dict[str, str]]:
    """A row for each method: what theta and eta ascend, and on which particles."""
    table = []
    for name in names:
        method = default_of(name)
        same = method.hyperproposal == method.proposal
        table.append(
            {
                "method": name,
                "theta ascends": str(method.objective),
                "over": str(method.proposal),
                "eta ascends": str(method.hyperobjective),
                "over ": "" if same else str(method.hyperproposal),
                "combined": str(method.combine),
            }
        )
    return table


def knobs_of(name: str) -> list[str]:
    """A line for each option of a method."""
    lines = [
        f"--{option}: {knob.meaning.rpartition('; for ')[0]}"
        for option, knob in knobs().items()
        if name in knob.methods
    ]
    keeps = "--keep: M, particles per image that carry the gradient"
    return [*lines, keeps] if accepts(name, "keep") else lines


def main() -> None:
    """Print the table."""
    if FLAGS.method:
        look_up(METHODS, "method", FLAGS.method)
    shown = rows([FLAGS.method] if FLAGS.method else list(METHODS))
    print(markdown(shown, list(shown[0])))
    print(f"\n{LEGEND}")
    if FLAGS.method:
        print("\n".join(["", *knobs_of(FLAGS.method)]))


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
