"""A second kind of model for the tests: independent coins, without latents and without particles.

Beside its parameters it has a state, the running mean of the images, on which its figures and its
pictures depend: they are those of the right state, or wrong.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.pictures.one_run import image_grid, learning_curves
from experiments.run import kinds, methods
from experiments.run.families import Family
from experiments.run.images import evaluation_images
from experiments.run.kind import Flag, Further, Kind, Scoring, Work
from remjax.errors import InputError
from remjax.sharding import mean_over_batch
from remjax.types import Batch, Estimate, Estimator, Params


class Pull(NamedTuple):
    """A method of coins: how the running mean forgets."""

    decay: float

    def __str__(self):
        return f"{self.decay} m + {1 - self.decay} x"


def slowly(decay: float = 0.75) -> Pull:
    """A running mean that lasts.

    Args:
        decay: of the running mean.
    """
    return Pull(decay)


at_once = Pull(0.0)

FAMILY = Family(
    kind=Pull,
    methods={"slowly": slowly, "at_once": at_once},
    row=lambda pull: {"mean becomes": str(pull)},
    legend="m: the mean so far.",
)


def log_likelihood(theta, x):
    """[N] nats: of images [N, X] under the coins, whose log odds are theta."""
    return jnp.sum(x * theta - jax.nn.softplus(theta), axis=-1)


def _build(settings, facts, mesh):
    if facts.real_valued:
        raise InputError(f"--model=coins is of bits, and --dataset={facts.name} is not")
    pull = methods.with_knobs(settings.method, settings.for_estimator())
    size = facts.size

    def init(key):
        return Params(0.1 * jax.random.normal(key, (size,)), ()), jnp.full(size, 0.5)

    def estimate(params, state, key, batch: Batch):
        value = jnp.mean(log_likelihood(params.theta, batch.x))
        mean = mean_over_batch(jnp.mean(batch.x, axis=0))
        state = pull.decay * state + (1.0 - pull.decay) * mean
        return Estimate(-value, 0.0 * value, {"log_likelihood": value}), state

    return Estimator(init, estimate, state_of_batch=True), jax.jit(log_likelihood)


def _values(problem, state, part):
    images = evaluation_images(problem.dataset, part, problem.settings.eval_size)
    return images, np.asarray(problem.parts(state.params.theta, images), np.float64)


def _score(problem, state, check, bars):
    figures = {"tosses": problem.settings.eval_num_particles}
    for part in ("train", "test"):
        images, values = _values(problem, state, part)
        with bars(total=len(images), unit="image", desc=f"evaluate {part}", leave=False) as bar:
            bar.update(len(images))
            check()
        figures |= {
            f"{part}_log_likelihood": float(np.mean(values)),
            f"{part}_log_likelihood_stderr": float(np.std(values) / len(values) ** 0.5),
            f"{part}_images": len(values),
        }
    return figures | {"running_mean": float(jnp.mean(state.estimator_state))}


def _test_metrics(problem, state):
    return {"test_log_likelihood": float(np.mean(_values(problem, state, "test")[1]))}


def _draw(problem, state, run, _):
    coins = [jax.nn.sigmoid(state.params.theta), state.estimator_state]
    images = np.reshape(np.stack(coins), (2, *problem.dataset.image_shape))
    image_grid(run.picture("coins.png"), images, title="The coins, and the running mean")
    learning_curves(
        run.picture("curves.png"),
        run.metrics(),
        curves={"log_likelihood": "training", "test_log_likelihood": "test"},
        label="log-likelihood (nats per image)",
    )


def _asked(given):
    if not given:
        return None

    def figures(problem, state, check):
        check()
        return {"heads": float(given["coin_tosses"] * jnp.mean(state.estimator_state))}

    return figures


KIND = Kind(
    family=FAMILY,
    settings=frozenset({"eval_num_particles", "latent_size"}),
    build=_build,
    line=lambda metrics: f"log_likelihood {metrics['log_likelihood']:9.2f} nats",
    draw=_draw,
    scoring=Scoring(
        score=_score,
        test_metrics=_test_metrics,
        announced=lambda settings: f"images with {settings.eval_num_particles} tosses",
        remarks=lambda figures: f"heads in {figures['running_mean']:.0%} of the tosses",
        recorded=("method", "dataset", "epochs", "seed", "num_replicas"),
        columns=("method", "tosses", "test_log_likelihood", "seconds"),
        columns_again=("step", "test_log_likelihood"),
        further=Further({"coin_tosses": Flag(None, "tosses of a coin")}, _asked, ("heads",)),
    ),
    defaults={
        "method": "slowly",
        "optimizer": "sgd",
        "learning_rate": 0.5,
        "schedule": "linear",
        "latent_size": "9",
        "eval_num_particles": 7,
    },
    epoch_metrics=lambda problem, state: {"heads": float(jnp.mean(state.estimator_state))},
    work=lambda settings: Work(settings.batch_size, 1),
)


def join(set_item) -> None:
    """Let the command line know the coins.

    Args:
        set_item: (table, name, value) puts an entry into a table, as `monkeypatch.setitem`.
    """
    for name in FAMILY.methods:
        set_item(methods.METHODS, name, FAMILY)
    set_item(kinds.MODELS, "coins", KIND)
