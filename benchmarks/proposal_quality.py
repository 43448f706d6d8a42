"""How good each proposal is on trained models, at equal decoder passes.

    python -m benchmarks.proposal_quality --run_dirs=RUN,RUN --passes=50,100,200,500,1000

Reads runs of experiments.train, which may differ in the number of latents D, and draws for the same
images as many particles as the passes allow: of r; of s, which is matched to particles of r that
count too; of r and s pooled; of a Gaussian by a regression of log w on quadratics (`quadratics`)
beside r; of the curvature's Gaussian beside r, whose linearisations count. A proposal is good when
its effective sample size is large and its estimate of log p(x), a lower bound in expectation, is
high. --out gets the table, its rows and the picture.
"""

import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
from absl import flags

from benchmarks.passes import affordable
from benchmarks.quadratics import FromQuadratics
from experiments.output.tables import markdown
from experiments.pictures.comparisons import ess_over_passes
from experiments.run import command_line
from experiments.run.images import evaluation_images
from experiments.run.initial_state import initial_state
from experiments.run.kind import Problem
from experiments.run.problem import build
from experiments.run.run_directory import reopen
from experiments.run.settings import Settings
from remjax.data.binarization import fixed
from remjax.errors import InputError
from remjax.methods.curvature_proposals import from_curvature
from remjax.methods.draws import Draws
from remjax.methods.proposals import (
    Proposal,
    from_mixture,
    from_pooled,
    from_r,
    from_s,
)
from remjax.particles.covariances import shrunk, shrunk_with_mean, tempered, tempered_with_mean
from remjax.training import checkpoints
from remjax.types import Params

FLAGS = flags.FLAGS
flags.DEFINE_list("run_dirs", [], "folders of runs of experiments.train")
flags.DEFINE_list("passes", ["50", "100", "200", "500", "1000"], "decoder passes per image")
flags.DEFINE_integer("size", 100, "images, evenly spaced", lower_bound=1)
flags.DEFINE_enum("part", "test", ["train", "test"], "which images")
flags.DEFINE_list("steps", ["1", "3", "6", "10"], "steps of the curvature")
flags.DEFINE_string("out", None, "folder of the table and the picture; none to print only")

PROPOSALS: dict[str, Proposal] = {
    "r": from_r,
    "s, shrunk": from_s(shrunk()),
    "s, shrunk with mean": from_s(shrunk_with_mean()),
    "s, tempered": from_s(tempered()),
    "s, tempered with mean": from_s(tempered_with_mean()),
    "r and s, shrunk": from_mixture(shrunk()),
    "pooled, shrunk": from_pooled(shrunk()),
    "pooled, tempered with mean": from_pooled(tempered_with_mean()),
    "r and quadratics": FromQuadratics(),
}

Row = dict[str, str | int | float]


class Images:
    """A trained model and the images on which its proposals are measured."""

    def __init__(self, run_dir: str) -> None:
        """Read the run, and the bits of its images."""
        with reopen(run_dir) as run:
            settings = Settings.from_mapping(run.config() | {"mesh": None})
            self.problem: Problem = build(settings)
            state = checkpoints.restore(run.checkpoints, initial_state(self.problem))
        self.params: Params = state.params
        dataset = self.problem.dataset
        x = jnp.asarray(evaluation_images(dataset, FLAGS.part, FLAGS.size))
        if not dataset.binary and not dataset.real_valued:
            x = fixed(jax.random.key(0), 0, 0, jnp.arange(len(x)), x)
        self.x = x
        self.num_latents = self.draws(jax.random.key(0), x[0], from_r, 1).num_latents

    def draws(self, key: jax.Array, x: jax.Array, proposal: Proposal, num_particles: int) -> Draws:
        """The E-steps of one image."""
        return Draws(
            key,
            self.problem.parts.model,
            self.params.theta,
            x,
            self.problem.parts.recognition.r(self.params.eta, x),
            num_particles=num_particles,
            chunk_size=num_particles,
            keep=None,
            matched_powers=getattr(proposal, "powers", ()),
        )

    def scored(self, proposal: Proposal, num_particles: int) -> int:
        """Decoder passes of one image, without running them."""
        counts = []

        def count(key: jax.Array, x: jax.Array) -> None:
            draws = self.draws(key, x, proposal, num_particles)
            draws.of(proposal)
            counts.append(draws.num_scored)

        jax.eval_shape(count, jax.random.key(0), self.x[0])
        return counts[0]

    def measure(self, proposal: Proposal, num_particles: int) -> dict[str, float]:
        """Mean log-evidence (nats) and effective sample size over the images."""

        def one(item: tuple[jax.Array, jax.Array]) -> dict[str, jax.Array]:
            key, x = item
            posterior = self.draws(key, x, proposal, num_particles).of(proposal).posterior
            return {"log_evidence": posterior.log_evidence, "ess": posterior.ess}

        keys = jax.random.split(jax.random.key(0), len(self.x))
        values = jax.jit(lambda: jax.lax.map(one, (keys, self.x), batch_size=20))()
        return {name: float(jnp.mean(value)) for name, value in values.items()}


def rows_of(run_dir: str) -> list[Row]:
    """Every proposal with every number of passes that leaves it a particle."""
    images = Images(run_dir)
    proposals = PROPOSALS | {
        f"curvature, {steps} step{'s' * (int(steps) > 1)}": from_curvature(
            int(steps), largest_cost=math.inf
        )
        for steps in FLAGS.steps
    }
    rows: list[Row] = []
    for passes in map(int, FLAGS.passes):
        for name, proposal in proposals.items():
            try:
                count = affordable(lambda k, one=proposal: images.scored(one, k), passes)
            except InputError:  # its linearisations alone are more
                continue
            found = images.measure(proposal, count)
            setting: Row = {"D": images.num_latents, "passes": passes, "proposal": name, "K": count}
            rows.append(setting | found)
            print(markdown([rows[-1]], list(rows[-1])).splitlines()[-1], flush=True)
    return rows


def main() -> None:
    """Print the table of all runs, and keep it."""
    if not FLAGS.run_dirs:
        raise InputError("--run_dirs is missing: name folders of runs, separated by commas")
    rows = [row for run_dir in FLAGS.run_dirs for row in rows_of(run_dir)]
    text = markdown(rows, list(rows[0])) + "\n"
    print(text)
    if FLAGS.out is not None:
        out = Path(FLAGS.out)
        out.mkdir(parents=True, exist_ok=True)
        (out / "rows.json").write_text(json.dumps(rows, indent=1))
        (out / "table.md").write_text(text)
        ess_over_passes(out / "picture.png", rows)


if __name__ == "__main__":
    command_line.run(main)
