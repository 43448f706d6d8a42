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
from experiments.run.initial_state import initial_state
from experiments.run.problem import Problem, build
from experiments.run.run_directory import reopen
from experiments.run.scoring import evaluation_images
from experiments.run.settings import Settings
from remjax.errors import InputError
from remjax.methods.draws import Draws
from remjax.particles.matching import Covariance
from remjax.particles.posterior import Posterior
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
            problem.model,
            params.theta,
            x,
            problem.recognition.r(params.eta, x),
            num_particles=FLAGS.num_particles,
            covariance=covariance,
            chunk_size=FLAGS.num_particles,
            keep=None,
        )
        twice = draws.draw(jax.random.fold_in(key, 1), draws.recognition, 2 * FLAGS.num_particles)
        posteriors: dict[str, Posterior] = {
            "r, K": draws.r,
            "r, 2K": twice,
            "s, K": draws.s,
            "mixture, 2K": draws.mixture,
            "pooled, 2K": draws.pooled,
        }
        return {name: (p.log_evidence, p.ess) for name, p in posteriors.items()}

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
        params = checkpoints.restore(run.checkpoints, initial_state(problem, settings)).params
    x = jnp.asarray(evaluation_images(problem, "train", FLAGS.size))
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
