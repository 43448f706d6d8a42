"""How good the proposals of REM are on a trained model, for each covariance of s.

    python -m benchmarks.proposal_quality --run_dir=RUN --num_particles=50

Reads a run of experiments.train and draws, for the same images, K particles of r, 2 K of r, K of s,
the 2 K of the mixture and of the pool, and K from the curvature after a few steps. A proposal is
good when its estimate of log p(x) is high (the estimate is a lower bound in expectation) and its
effective sample size large. `passes` counts what the decoder does for them.
"""

import jax
import jax.numpy as jnp
from absl import flags

from experiments.output.tables import markdown
from experiments.run import command_line
from experiments.run.choices import COVARIANCES
from experiments.run.images import evaluation_images
from experiments.run.initial_state import initial_state
from experiments.run.kind import Problem
from experiments.run.problem import build
from experiments.run.run_directory import reopen
from experiments.run.settings import Settings
from remjax.data.binarization import fixed
from remjax.errors import InputError
from remjax.methods.draws import Draws, Scored
from remjax.methods.proposals import (
    Proposal,
    from_curvature,
    from_mixture,
    from_pooled,
    from_r,
    from_s,
)
from remjax.particles.covariances import Covariance
from remjax.training import checkpoints
from remjax.types import Params

FLAGS = flags.FLAGS
flags.DEFINE_string("run_dir", None, "folder of a run of experiments.train")
flags.DEFINE_integer("num_particles", 50, "K", lower_bound=1)
flags.DEFINE_integer("size", 300, "images, evenly spaced", lower_bound=1)
flags.DEFINE_enum("part", "train", ["train", "test"], "which images")
flags.DEFINE_list("steps", ["1", "3", "6", "10"], "steps of the curvature")

Figures = dict[str, jax.Array]


def twice_from_r(draws: Draws) -> Scored:
    """2 K particles of r."""
    return draws.draw(jax.random.fold_in(draws.key, 1), draws.r, 2 * draws.num_particles)


def from_particles(covariance: Covariance) -> dict[str, Proposal]:
    """What r's particles make, beside r."""
    return {
        "r, K": from_r,
        "r, 2K": twice_from_r,
        "s, K": from_s(covariance),
        "mixture, 2K": from_mixture(covariance),
        "pooled, 2K": from_pooled(covariance),
    }


def quality(problem: Problem, params: Params, x: jax.Array, proposal: Proposal) -> Figures:
    """Mean log-evidence (nats), effective sample size and passes of a proposal over the images."""

    def one(item: tuple[jax.Array, jax.Array]) -> Figures:
        key, x = item
        draws = Draws(
            key,
            problem.parts.model,
            params.theta,
            x,
            problem.parts.recognition.r(params.eta, x),
            num_particles=FLAGS.num_particles,
            chunk_size=FLAGS.num_particles,
            keep=None,
            matched_powers=getattr(proposal, "powers", ()),
        )
        posterior = draws.of(proposal).posterior
        return {
            "log_evidence": posterior.log_evidence,
            "ess": posterior.ess,
            "passes": jnp.asarray(float(draws.num_scored)),
        }

    keys = jax.random.split(jax.random.key(0), len(x))
    values = jax.jit(lambda: jax.lax.map(one, (keys, x), batch_size=20))()
    return jax.tree.map(jnp.mean, values)


def main() -> None:
    """Print the table of all covariances."""
    if FLAGS.run_dir is None:
        raise InputError("--run_dir is missing: name the folder of a run")
    with reopen(FLAGS.run_dir) as run:
        settings = Settings.from_mapping(run.config() | {"mesh": None})
        problem = build(settings)
        params = checkpoints.restore(run.checkpoints, initial_state(problem)).params
    x = jnp.asarray(evaluation_images(problem.dataset, FLAGS.part, FLAGS.size))
    if not problem.dataset.binary and not problem.dataset.real_valued:
        x = fixed(jax.random.key(0), 0, 0, jnp.arange(len(x)), x)
    proposals = {
        (name, proposal): value
        for name, make in COVARIANCES.items()
        for proposal, value in from_particles(make()).items()
    } | {("-", f"curvature, {steps} steps"): from_curvature(int(steps)) for steps in FLAGS.steps}
    rows = []
    for (covariance, proposal), value in proposals.items():
        found = {name: float(number) for name, number in quality(problem, params, x, value).items()}
        rows.append({"covariance": covariance, "proposal": proposal} | found)
    print(markdown(rows, list(rows[0])))


if __name__ == "__main__":
    command_line.run(main)
