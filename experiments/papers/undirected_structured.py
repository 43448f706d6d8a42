"""Table 3 of Vahdat et al. 2019: the lower half of an image predicted from the upper half.

Each seed is a run of its own in DIR/structured, with its checkpoints: stopped or killed, it goes on
to the same numbers, and a run with other settings is refused, as the cells of the sweep are.
"""

import dataclasses
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from experiments.papers.protocol import Cell, Claim, Outcome, Place, Plan, Table
from experiments.papers.report import differences
from experiments.papers.seeds import of_each_seed, over_seeds
from experiments.run.choices import choose_binarization
from experiments.run.fitting import Stopped
from experiments.run.images import evaluation_images, images_of
from experiments.run.run_directory import RunDirectory, start
from experiments.run.settings import DEFAULTS, MAY_CHANGE, Settings
from experiments.run.stopping import StopRequest
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
from remjax.training import checkpoints
from remjax.training.epochs import make_epoch
from remjax.training.optimizers import adam, vahdat_schedule
from remjax.training.steps import init_train_state
from remjax.types import Model, Recognition

_RATE, _DECAY = 3e-4, 1e-4
# Updates of one call, between which a run can be stopped, and between two checkpoints.
_CALL, _CHECKPOINT = 100, 1_000
_STATED: Mapping[str, Any] = {
    "batch_size": 100,
    "hidden_size": "200",
    "initialization": "he",
    "posterior_sweeps": 10,
    "relaxed_sweeps": 1,
    "eval_num_particles": 4000,
    "eval_size": 0,
    "num_replicas": 5,
}
# Of the cells of this table; then data set, posterior and K.
_HERE = "structured prediction"

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


def score(
    run: RunDirectory, settings: Settings, parts: Halves, updates: int, stop: StopRequest
) -> float:
    """Train, and give the mean of -log 1/K sum_k p(x_2 | z_k) over test images, nats.

    Args:
        run: its directory; what is there of the same run goes on.
        settings: of the run; its seed.
        parts: the networks.
        updates: how many.
        stop: asked after every hundred updates.

    Raises:
        Stopped: someone asked for it; the state is saved.
    """
    found = run.result().get("nats")
    if found is not None:
        return found
    dataset = images_of(settings)
    method = structured_prediction(max(updates // 2, 1))
    estimator = make_estimator(*parts, method, Particles(settings.num_particles))
    optimizer = adam(vahdat_schedule(_RATE, updates), eps=1e-3, weight_decay=_DECAY)
    train = jnp.asarray(dataset.train)
    state = init_train_state(estimator, optimizer, jax.random.key(settings.seed), train)
    epochs = make_epoch(
        estimator,
        optimizer,
        num_data=len(train),
        batch_size=settings.batch_size,
        binarization=choose_binarization(dataset, settings.binarization),
    )
    if checkpoints.latest_step(run.checkpoints) is not None:
        state = checkpoints.restore(run.checkpoints, state)
    step = int(state.step)
    while step < updates:
        state = epochs(state, train, min(_CALL, updates - step))
        step = int(state.step)
        if stop or step % _CHECKPOINT == 0 or step == updates:
            checkpoints.save(run.checkpoints, step, state)
        if stop:
            raise Stopped
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
    nats = -float(np.mean(np.asarray(log_likelihoods(jnp.asarray(test)), np.float64)))
    run.update_result({"nats": nats})
    return nats


def structured_outcomes(
    plan: Plan,
    stop: StopRequest,
    datasets: Mapping[str, Mapping[str, Any]],
    size: int,
    *,
    groups: Sequence[int],
    particles: Sequence[int],
    updates: int,
) -> list[Outcome]:
    """The cells of Table 3, running those that have no figure yet.

    Args:
        plan: the settings, the seeds and the folder.
        stop: of the sweep.
        datasets: name -> what is set for it.
        size: bits of each side of the machine.
        groups: of the directed posteriors.
        particles: K of the bound.
        updates: of each run.

    Raises:
        Stopped: someone asked for it; what is done so far is saved.
        InputError: a run that is there has other settings.
    """
    found = []
    remark = () if updates == 1_000_000 else (f"{updates:,} updates (1,000,000)",)
    names = [f"{count} group" + "s" * (count > 1) for count in groups]
    cells = [(d, k, p) for d in datasets for k in particles for p in (*names, "machine")]
    for dataset, count, posterior in cells:
        chosen = {**datasets[dataset], "dataset": dataset, "num_particles": count}
        settings = plan.settings("dvae", plan.scale.settings, chosen | {"posterior": "rbm"})
        place = (_HERE, dataset, posterior, count)
        name = f"{dataset}-{posterior.replace(' ', '_')}-{count}"
        folder, seeds, source = plan.root / "structured", [], images_of(settings).source
        for seed in range(settings.seed, settings.seed + settings.num_replicas):
            one = dataclasses.replace(settings, seed=seed, num_replicas=1)
            about = {"structured_posterior": posterior, "side": size, "updates": updates}
            config = dataclasses.asdict(one) | about
            with start(
                folder / f"{name}-{seed}",
                config,
                resume=True,
                may_change=MAY_CHANGE,
                defaults=DEFAULTS,
            ) as run:
                images = images_of(one).train
                run.require_data(source, zlib.crc32(images.tobytes()), {"num_train": len(images)})
                parts = halves(one, posterior, size, images.mean(axis=0))
                nats = score(run, one, parts, updates, stop)
            seeds.append({"seed": seed, "test_log_likelihood": -nats})
            print(f"structured {name}-{seed}: test {-nats:.2f} nats", flush=True)
        cell = Cell(place, name, settings, stated=_STATED, remarks=remark)
        found.append(Outcome(cell, {"replicas": seeds, "source": source}, folder))
    return found


def of_structured(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes that are cells of Table 3."""
    return [one for one in outcomes if one.cell.place[0] == _HERE]


def structured_table(outcomes: Sequence[Outcome], size: int) -> Table:
    """Table 3: ours beside the paper's.

    Args:
        outcomes: of the sweep.
        size: bits of each side of the machine.
    """
    here, rows = of_structured(outcomes), []
    for outcome in here:
        _, dataset, posterior, count = outcome.cell.place
        mean, error = over_seeds(of_each_seed(outcome.result, "test_log_likelihood"))
        paper = _stated(outcome.cell.place)
        rows.append(
            {
                "data set": dataset,
                "K": count,
                "posterior": posterior,
                "paper": paper,
                "ours": -mean,
                "± seeds": error,
                "difference": None if paper is None else -mean - paper,
            }
        )
    return Table(
        name="structured",
        title="Negative log-likelihood of the lower half given the upper one, nats (Table 3)",
        rows=rows,
        remarks=[differences(outcome) for outcome in here],
        notes=(
            f"{2 * size} bits; ± seeds: standard error over the seeds, which share the images",
            "bits of a machine are the ends of chains of 100 sweeps from fair coins: its figure is "
            "that of what the chains draw",
            "in the remarks our setting stands first, the paper's in brackets",
        ),
    )


def structured_claims(places: Sequence[Place]) -> Iterator[Claim]:
    """That the machine is above each directed posterior, where the paper's Table 3 has it."""
    here = [place for place in places if place[0] == _HERE]
    for better in here:
        for worse in here:
            same = better[1::2] == worse[1::2]
            if better[2] != "machine" or worse[2] == "machine" or not same:
                continue
            ours, theirs = _stated(better), _stated(worse)
            if ours is not None and theirs is not None and ours < theirs:
                where = f"{better[1]}, {_HERE}, K={better[3]}"
                yield Claim(f"machine above {worse[2]}", where, better, worse)


def _stated(place: Place) -> float | None:
    """The paper's figure of a cell, if it has one."""
    _, dataset, posterior, count = place
    paper = PAPER.get((dataset, posterior))
    return paper[_COUNTS.index(count)] if paper and count in _COUNTS else None
