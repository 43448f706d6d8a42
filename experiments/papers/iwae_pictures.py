"""The active latents of the IWAE paper's protocol, its samples and its posteriors."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from experiments.papers.protocol import Outcome, Place, Plan, Result, Table
from experiments.pictures.posteriors import posterior_pictures
from experiments.pictures.sweeps import activity_histogram, labelled_images
from experiments.run.finished_run import finished_run
from experiments.run.images import evaluation_images
from experiments.run.posterior_maps import posterior_maps
from experiments.run.run_pictures import sample_means


def active_latents(
    outcomes: Sequence[Outcome], figures: Mapping[Place, tuple[float, str]]
) -> Table:
    """The number of active latents of each layer, as 16+5; of several seeds their means."""
    rows = []
    for cell, result, _ in outcomes:
        each = [one["active_units_per_layer"] for one in result.get("replicas", [result])]
        ours = "+".join(f"{mean:.3g}" for mean in np.mean(each, axis=0))
        _, paper = figures.get(cell.place, (None, None))
        rows.append({**cell.row, "paper": paper, "ours": ours})
    return Table(
        name="active_latents",
        title="Active latents of each layer",
        rows=rows,
        remarks=[() for _ in rows],
        notes=(
            "a latent is active where the variance of its posterior mean over the images is above "
            "0.01; of several seeds the mean",
            "table.md has what differs from the paper's setting",
        ),
    )


def draw(plan: Plan, outcomes: Sequence[Outcome]) -> None:
    """Of the first data set: activity and samples at the ends of the tables, and posteriors."""
    first = outcomes[0].cell.settings.dataset
    ours = [
        outcome
        for outcome in outcomes
        if outcome.cell.settings.dataset == first and outcome.cell.settings.init_from is None
    ]
    most = max(outcome.cell.settings.num_particles for outcome in ours)
    # The VAE of one particle and the IWAE of most: the ends of the paper's tables.
    ends = [
        outcome
        for outcome in ours
        if outcome.cell.place[2:] in (("vae", 1), ("iwae", most))
        and outcome.cell.place[1] != "two latents"
    ]
    activity_histogram(
        plan.root / "activity.png",
        {_label(outcome): _activity(outcome.result) for outcome in ends},
        title=f"Activity of latents, {first}",
    )
    _draw_samples(plan.root, ends)
    _draw_posteriors(plan.root, [one for one in ours if one.cell.place[1] == "two latents"])


def _label(outcome: Outcome) -> str:
    _, layers, method, k = outcome.cell.place
    latents = f", {layers} layer" + "s" * (layers == 2) if layers in (1, 2) else ""
    return f"{method.upper()}, k={k}{latents}"


def _activity(result: Result) -> list[np.ndarray]:
    """A_u of all latents of each layer, over all seeds."""
    each = [one["activity"] for one in result.get("replicas", [result])]
    return [np.concatenate(layers) for layers in zip(*each, strict=True)]


def _draw_samples(root: Path, outcomes: Sequence[Outcome]) -> None:
    """Samples of each run; images at the same place have the same key."""
    keys = jax.random.split(jax.random.key(0), 20)
    samples = {}
    for outcome in outcomes:
        run = finished_run(outcome.folder, outcome.cell.settings.data_dir)
        samples[_label(outcome)] = sample_means(run.problem, run.params, keys)
    first = outcomes[0].cell.settings.dataset
    labelled_images(root / "samples.png", samples, title=f"Samples, {first}")


def _draw_posteriors(root: Path, outcomes: Sequence[Outcome], num_images: int = 6) -> None:
    """Posteriors of training images in the runs with two latents."""
    runs = [finished_run(one.folder, one.cell.settings.data_dir) for one in outcomes]
    images = evaluation_images(runs[0].problem.dataset, "train", num_images)
    maps = {
        _label(outcome): [posterior_maps(run, image) for image in images]
        for outcome, run in zip(outcomes, runs, strict=True)
    }
    shape = runs[0].problem.dataset.image_shape
    posterior_pictures(root / "posteriors.png", np.reshape(images, (-1, *shape)), maps)
