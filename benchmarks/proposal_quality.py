"""How good the proposals of REM are on a trained model, for each covariance of s.

    python -m benchmarks.proposal_quality --run_dir=RUN --num_particles=50

Reads a run of experiments.train and draws, for the same training images, K particles of r, 2 K of
r, K of s, and the 2 K of the mixture and of the pool. A proposal is good when its estimate of
log p(x) is high (the estimate is a lower bound in expectation) and its effective sample size large.
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
from remjax.errors import InputError
from remjax.methods.draws import Draws
from remjax.methods.proposals import from_mixture, from_pooled, from_s
from remjax.particles.covariances import Covariance
from remjax.training import checkpoints
from remjax.types import Params

FLAGS = flags.FLAGS
flags.DEFINE_string("run_dir", None, "folder of a run of experiments.train")
flags.DEFINE_integer("num_particles", 50, "K", lower_bound=1)
flags.DEFINE_integer("size", 300, "training images, evenly spaced", lower_bound=1)

Figures = dict[str, jax.Array]


def quality(problem: Problem, params: Params, x: jax.Array, covariance: Covariance) -> Figures:
    """Mean log-evidence (nats) and effective sample size of every proposal over the images."""

    def one(item: tuple[jax.Array, jax.Array]) -> dict[str, tuple[jax.Array, jax.Array]]:
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
            matched_powers=covariance.powers,
        )
        twice = draws.draw(jax.random.fold_in(key, 1), draws.r, 2 * FLAGS.num_particles)
        found = {
            "r, K": draws.from_r(),
            "r, 2K": twice,
            "s, K": draws.of(from_s(covariance)),
            "mixture, 2K": draws.of(from_mixture(covariance)),
            "pooled, 2K": draws.of(from_pooled(covariance)),
        }
        return {
            name: (one.posterior.log_evidence, one.posterior.ess) for name, one in found.items()
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
    x = jnp.asarray(evaluation_images(problem.dataset, "train", FLAGS.size))
    rows = []
    for name, make in COVARIANCES.items():
        for proposal, (log_evidence, ess) in quality(problem, params, x, make()).items():
            rows.append(
                {
                    "covariance": name,
                    "proposal": proposal,
                    "log_evidence": float(log_evidence),
                    "ess": float(ess),
                }
            )
    print(markdown(rows, list(rows[0])))


if __name__ == "__main__":
    command_line.run(main)
