"""Table 3 of Vahdat et al. 2019: the lower half of an image predicted from the upper half."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from experiments.output.files import read_json, write_json
from experiments.papers.protocol import Plan, Table
from experiments.run.choices import choose_binarization
from experiments.run.images import evaluation_images, images_of
from experiments.run.settings import Settings
from remjax.distributions import Bernoulli, PiecewiseLinear
from remjax.methods import structured_prediction
from remjax.methods.method import make_estimator
from remjax.methods.row import Particles
from remjax.models import (
    batch_normalization,
    bernoulli_likelihood,
    grouped_recognition,
    undirected_recognition,
)
from remjax.models.latent_variable import Prior, dense_decoder, latent_variable_model
from remjax.training.epochs import make_epoch
from remjax.training.optimizers import adam, vahdat_schedule
from remjax.training.steps import init_train_state
from remjax.types import Model, Recognition

_RATE, _DECAY = 3e-4, 1e-4
# Updates between two looks at the values.
_BLOCK = 1_000

# By data set and posterior (groups, or a machine), and K = 1, 5, 25: nats.
PAPER: Mapping[tuple[str, str], tuple[float, float, float]] = {
    ("binarized_mnist", "1 group"): (60.82, 52.38, 48.30),
    ("binarized_mnist", "2 groups"): (59.54, 52.27, 48.41),
    ("binarized_mnist", "4 groups"): (60.22, 52.67, 48.61),
    ("binarized_mnist", "machine"): (57.13, 49.25, 45.75),
    ("omniglot", "1 group"): (67.06, 59.00, 54.79),
    ("omniglot", "2 groups"): (67.11, 59.28, 54.83),
    ("omniglot", "4 groups"): (67.35, 59.34, 54.88),
    ("omniglot", "machine"): (63.74, 57.53, 54.32),
}
_COUNTS = (1, 5, 25)


class Halves(NamedTuple):
    """A model of the lower half of an image and a posterior that sees the upper one.

    Attributes:
        model: its likelihood scores the pixels from the middle on; it has no prior to speak of.
        recognition: q(z | x_1), which is given whole images.
    """

    model: Model
    recognition: Recognition


def halves(settings: Settings, posterior: str, side: int, mean: np.ndarray) -> Halves:
    """One tanh layer in each network, 2 * side bits, piece-wise linear ones.

    Args:
        settings: the widths and the sweeps.
        posterior: "machine", or so many groups.
        side: bits of each side of a machine.
        mean: image.
    """
    start, common = len(mean) // 2, {"hidden_sizes": settings.hidden_sizes[0][:1]}
    likelihood = bernoulli_likelihood(mean[start:])
    layers = common | {"normalization": batch_normalization()}
    decoder = dense_decoder(likelihood.output_bias, latent_size=2 * side, **layers)
    coins = Prior(lambda key: (), lambda _: Bernoulli(jnp.zeros(2 * side)))
    whole = latent_variable_model(likelihood, coins, decoder)
    model = whole._replace(
        log_likelihood=lambda theta, x, z: whole.log_likelihood(theta, x[start:], z), decoded=None
    )
    sharpness = 3.0 if settings.dataset == "omniglot" else 4.0
    layers |= {"relaxation": PiecewiseLinear(sharpness)}
    if posterior == "machine":
        seen = undirected_recognition(
            mean,
            visible_size=side,
            hidden_size=side,
            num_chains=settings.num_particles,
            num_sweeps=settings.posterior_sweeps,
            **layers,
        )
    else:
        groups = int(posterior.split()[0])
        seen = grouped_recognition(mean, latent_size=2 * side, num_groups=groups, **layers)
    upper = jnp.arange(len(mean)) < start
    recognition = seen._replace(distribution=lambda eta, x: seen.distribution(eta, x * upper))
    return Halves(model, recognition)


def score(settings: Settings, parts: Halves, updates: int, seed: int) -> float:
    """Train, and give the mean of -log 1/K sum_k p(x_2 | z_k) over test images, nats."""
    dataset = images_of(settings)
    method = structured_prediction(max(updates // 2, 1))
    estimator = make_estimator(*parts, method, Particles(settings.num_particles))
    rate = vahdat_schedule(_RATE, updates)
    optimizer = adam(rate, eps=1e-3, weight_decay=_DECAY)
    train = jnp.asarray(dataset.train)
    state = init_train_state(estimator, optimizer, jax.random.key(seed), train)
    epochs = make_epoch(
        estimator,
        optimizer,
        num_data=len(train),
        batch_size=settings.batch_size,
        binarization=choose_binarization(dataset, settings.binarization),
    )
    for start in range(0, updates, _BLOCK):
        state = epochs(state, train, min(_BLOCK, updates - start))
    params, count = state.params, settings.eval_num_particles

    @jax.jit
    def log_likelihoods(images: jax.Array) -> jax.Array:
        def of_image(given: tuple[jax.Array, jax.Array]) -> jax.Array:
            x, key = given
            q = parts.recognition.r(params.eta, x).hard()

            def of_draw(key: jax.Array) -> jax.Array:
                return parts.model.log_likelihood(params.theta, x, q.sample(key))

            scores = jax.vmap(of_draw)(jax.random.split(key, count))
            return jax.nn.logsumexp(scores) - jnp.log(count)

        return lax.map(of_image, (images, jax.random.split(jax.random.key(1), len(images))))

    test = evaluation_images(dataset, "test", settings.eval_size)
    return -float(np.mean(np.asarray(log_likelihoods(jnp.asarray(test)), np.float64)))


def structured_table(
    plan: Plan,
    datasets: Sequence[str],
    size: int,
    *,
    groups: Sequence[int],
    particles: Sequence[int],
    updates: int,
    seeds: int,
) -> Table:
    """Each cell is trained once and kept in the folder `structured` of the sweep.

    Args:
        plan: the settings and the folder.
        datasets: names.
        size: bits of each side of the machine.
        groups: of the directed posteriors.
        particles: K of the bound.
        updates: of each run.
        seeds: of each cell; the figure is their mean.
    """
    rows = []
    names = [f"{count} group" + "s" * (count > 1) for count in groups]
    for dataset in datasets:
        for count in particles:
            for posterior in (*names, "machine"):
                chosen = {"dataset": dataset, "num_particles": count, "posterior": "rbm"}
                settings = plan.settings("dvae", plan.scale.settings, chosen)
                values = [
                    _kept(plan.root, settings, posterior, size, updates, seed)
                    for seed in range(seeds)
                ]
                paper = PAPER.get((dataset, posterior))
                stated = paper[_COUNTS.index(count)] if paper and count in _COUNTS else None
                ours = float(np.mean(values))
                rows.append(
                    {
                        "data set": dataset,
                        "K": count,
                        "posterior": posterior,
                        "ours": f"{ours:.2f}",
                        "paper": "" if stated is None else f"{stated:.2f}",
                        "difference": "" if stated is None else f"{ours - stated:+.2f}",
                    }
                )
    return Table(
        name="structured",
        title="Negative log-likelihood of the lower half given the upper one, nats (Table 3)",
        rows=rows,
        remarks=[() for _ in rows],
        notes=(
            f"{updates:,} updates, the paper's 1,000,000; {2 * size} bits, {seeds} of each",
            "bits of a machine are the ends of chains of 100 sweeps from fair coins: its figure is "
            "that of what the chains draw",
        ),
    )


def _kept(
    root: Path, settings: Settings, posterior: str, size: int, updates: int, seed: int
) -> float:
    """The figure of a cell, trained where it is not known yet."""
    place = (settings.dataset, posterior.replace(" ", "_"), settings.num_particles, seed)
    path = root / "structured" / ("-".join(map(str, place)) + ".json")
    about: dict[str, Any] = {"size": size, "updates": updates}
    if path.is_file():
        found = read_json(path)
        if {name: found.get(name) for name in about} == about:
            return found["nats"]
    mean = images_of(settings).train.mean(axis=0)
    value = score(settings, halves(settings, posterior, size, mean), updates, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, about | {"nats": value})
    return value
