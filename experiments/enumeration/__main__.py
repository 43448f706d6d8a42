"""The expected gradient of every estimator of bits beside the gradient that it claims.

    python -m experiments.enumeration --json=rows.json

Sigmoid belief networks of two or three binary latents are so small that every tuple of particles,
every dream and every antithetic pair can be summed over: an expected gradient is a finite sum, and
so is the gradient that a method claims. The largest absolute difference between the two, over all
parameters, is what float32 leaves of such sums (about 1e-6), or else an error.

    python -m experiments.enumeration --sweeps

The gradient of an undirected posterior through t sweeps claims no more than to be near: its bias
and its noise, on 3 + 3 bits.

    python -m experiments.enumeration --machines

Methods with a Boltzmann machine as prior and as posterior, and those with a gradient along the
draw: what they claim, and how far they are.

    python -m experiments.enumeration --posteriors

Posteriors of bits, and of bits and real numbers, trained on 8x8 digits: log p(x) and the bound by
all values of the latents.
"""

import json
from pathlib import Path
from typing import Any

from absl import flags

from experiments.enumeration import (
    machines,
    nvil,
    pairs,
    posteriors,
    proposals,
    recognition,
    relaxed_sweeps,
    warming_up,
)
from experiments.enumeration.cases import Case, rows
from experiments.output.files import replacing
from experiments.output.tables import markdown
from experiments.run import command_line
from experiments.run.choices import look_up
from experiments.run.methods import WITH_RECOGNITION
from remjax.distributions import PiecewiseLinear
from remjax.errors import InputError

FLAGS = flags.FLAGS

CASES = [
    *recognition.cases(),
    *nvil.cases(),
    *proposals.cases(),
    *pairs.cases(),
    *warming_up.cases(),
]


_OF_SWEEPS = """
relative to the norm of the exact gradient, piece-wise linear bits with beta 4; bias of t: of
leaving out term I of Eq. 8 of Vahdat et al. 2019, exactly; bias: with the relaxation too; error:
standard error of that; noise: standard deviation of one draw"""


# Of each posterior. They take less time than its compilation.
_UPDATES, _SEEDS = 600, 2
_OF_POSTERIORS = f"""
nats, means of 100 test images and {_SEEDS} seeds, {_UPDATES} updates of 100 images; +-: standard
error over the seeds; KL(q, p): of the posterior from p(z | x), what the bound loses"""


def define_flags() -> None:
    """Which rows, and where they go."""
    flags.DEFINE_list("methods", [], "methods to enumerate; default all")
    flags.DEFINE_string("json", None, "file for the rows, a list of objects")
    flags.DEFINE_bool(
        "sweeps", False, "bias and noise of the gradient through t relaxed sweeps, and no methods"
    )
    flags.DEFINE_bool(
        "machines", False, "methods with a Boltzmann machine as prior or posterior, and no others"
    )
    flags.DEFINE_bool(
        "posteriors", False, "posteriors trained on digits, scored by enumeration, and no methods"
    )


def _chosen() -> list[Case]:
    """The cases of --methods."""
    names = dict.fromkeys(case.name for case in CASES)
    for name in FLAGS.methods:
        if name in WITH_RECOGNITION.methods and name not in names:
            raise InputError(
                f"--methods={name} needs real latents, and bits are enumerated: use some of "
                f"{', '.join(names)}"
            )
        look_up(names, "methods", name)
    return [case for case in CASES if not FLAGS.methods or case.name in FLAGS.methods]


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {k: f"{v:.2f}" if isinstance(v, float) else v for k, v in row.items()}


def main() -> None:
    """Enumerate, print the table, write the rows."""
    tables = ("sweeps", "machines", "posteriors", "methods")
    given = [name for name in tables if FLAGS[name].value]
    if len(given) > 1:
        raise InputError(f"--{given[1]} does nothing with --{given[0]}: leave one of them out")
    chosen = _chosen()
    if FLAGS.json is not None and not Path(FLAGS.json).absolute().parent.is_dir():
        raise InputError(f"--json={FLAGS.json} is in no folder that exists: make the folder first")
    found: list[dict[str, Any]] = []
    if FLAGS.sweeps:
        found = relaxed_sweeps.rows(PiecewiseLinear())
        print(markdown(found, list(found[0])))
        print(_OF_SWEEPS)
    elif FLAGS.posteriors:
        found = list(posteriors.rows(_UPDATES, _SEEDS))
        print(markdown([_rounded(row) for row in found], list(found[0])))
        print(_OF_POSTERIORS)
    else:
        if FLAGS.machines:
            found = [row for case in machines.cases() for row in machines.rows(case)]
        else:
            found = [row for case in chosen for row in rows(case)]
        numbers = ("deviation", "relative", "noise")
        shown = [
            {name: f"{value:.1e}" if name in numbers else value for name, value in row.items()}
            for row in found
        ]
        print(markdown(shown, list(found[0])))
    if FLAGS.json is not None:
        with replacing(FLAGS.json) as temporary:
            temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
