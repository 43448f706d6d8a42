"""What settings ask for, built: the data, the networks, the estimator and the optimiser."""

import functools
import math
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.run.choices import (
    EVALUATION_PROPOSALS,
    INITIALIZATIONS,
    NETWORKS,
    SCHEDULES,
    look_up,
)
from experiments.run.methods import accepts, build_estimator
from experiments.run.networks import build_networks, input_offset
from experiments.run.optimizers import OPTIMIZERS
from experiments.run.presets import SPLITS
from experiments.run.settings import Settings
from remjax.data import Dataset, load
from remjax.data.binarization import fixed
from remjax.errors import InputError
from remjax.methods.baselines import no_baseline, tanh_baseline
from remjax.models.networks import in_bfloat16
from remjax.sharding import DATA, PARTICLES, make_mesh
from remjax.types import Batch, Estimator, Model, Recognition

_KEY_BITS = 1_000_001
_BLOCK = 1_000


class Problem(NamedTuple):
    """The parts of a training run."""

    dataset: Dataset
    model: Model
    recognition: Recognition
    estimator: Estimator
    optimizer: optax.GradientTransformation
    steps_per_epoch: int
    mesh: jax.sharding.Mesh | None

    @property
    def data_checksum(self) -> int:
        """Of the training and test images, which differs from that of other files."""
        return zlib.crc32(self.dataset.test, zlib.crc32(self.dataset.train))


def build(settings: Settings) -> Problem:
    """Everything that a run needs, from its settings.

    Raises:
        InputError: for settings that do not go together, or data that cannot be had.
    """
    mesh = _mesh(settings.mesh, settings.num_particles)
    dataset = _dataset(settings)
    train = dataset.train
    _refuse_what_is_too_large(settings, train.shape[1])
    networks = look_up(NETWORKS, "model", settings.model)
    initialization = look_up(INITIALIZATIONS, "initialization", settings.initialization)
    networks_of = functools.partial(
        build_networks,
        dataset,
        networks,
        latent_sizes=settings.latent_sizes,
        hidden_sizes=settings.hidden_sizes,
        num_categories=settings.num_categories,
        mean_output=settings.mean_output,
        centred_input=settings.centred_input,
    )
    model, recognition = networks_of(initialization=initialization)
    # The decoder alone, which scores the particles, and only while it trains: what a run is scored
    # by stays comparable.
    rounded = in_bfloat16(initialization)
    trained = networks_of(initialization=rounded)[0] if settings.bfloat16 else model
    options = {"num_particles": settings.num_particles, **settings.for_estimator()}
    options |= _baseline(settings, dataset)
    estimator = networks.addition(
        build_estimator(settings.method, trained, recognition, options), len(train)
    )
    steps_per_epoch = len(train) // settings.batch_size
    schedule = look_up(SCHEDULES, "schedule", settings.schedule)
    problem = Problem(
        dataset=dataset,
        model=model,
        recognition=recognition,
        estimator=estimator,
        optimizer=look_up(OPTIMIZERS, "optimizer", settings.optimizer)(
            schedule(settings.learning_rate, steps_per_epoch, settings.epochs),
            max_gradient_norm=settings.max_gradient_norm or math.inf,
            **_of_adam(settings),
        ),
        steps_per_epoch=steps_per_epoch,
        mesh=mesh,
    )
    _refuse_what_does_not_fit(problem, settings)
    return problem


def _dataset(settings: Settings) -> Dataset:
    """The images that are trained on, and those of the test."""
    dataset = look_up(SPLITS, "split", settings.split)(
        _load(settings.dataset, settings.data_dir, settings.split_seed)
    )
    train = evenly_spaced(dataset.train, settings.train_size, "train_size")
    if settings.batch_size > len(train):
        raise InputError(
            f"--batch_size={settings.batch_size} is more than the {len(train)} training images of "
            f"{dataset.name}: lower it"
        )
    dataset = dataset._replace(train=train)
    if settings.binarization == "fixed" and not (dataset.binary or dataset.real_valued):
        # Once for all: what is trained on is what is evaluated.
        bits = {"train": fixed_bits(train), "test": fixed_bits(dataset.test)}
        dataset = dataset._replace(binary=True, **bits)
    return dataset


def _baseline(settings: Settings, dataset: Dataset) -> Mapping[str, Any]:
    """The option that methods with a baseline have: a network that sees x as the encoder does.

    Raises:
        InputError: for a size that the method has no use for.
    """
    size = settings.baseline_size
    if not accepts(settings.method, "baseline"):
        if size is not None:
            raise InputError(
                f"--baseline_size does nothing for --method={settings.method}: leave it out"
            )
        return {}
    if size == 0:
        return {"baseline": no_baseline}
    offset = input_offset(dataset, centred=settings.centred_input)
    made = functools.partial(tanh_baseline, data_mean=offset)
    return {"baseline": functools.partial(made, hidden_size=size) if size else made}


def _refuse_what_is_too_large(settings: Settings, data_size: int) -> None:
    """Before a network is made, which would take all the memory.

    Raises:
        InputError: for a layer whose weights could not be counted in 32 bits.
    """
    hidden = [width for widths in settings.hidden_sizes for width in widths] or [data_size]
    largest = max(hidden) * max(data_size, *hidden, *settings.latent_sizes)
    if largest >= 2**31:
        raise InputError(
            f"the networks would have a layer of up to {largest:,} weights: lower --hidden_size "
            "or --latent_size"
        )


def _refuse_what_does_not_fit(problem: Problem, settings: Settings) -> None:
    """Trace a step and the evaluation without compiling: it finds what cannot serve the model.

    Raises:
        InputError: for a method or an evaluation that needs of the model what it has not.
    """
    proposal = look_up(EVALUATION_PROPOSALS, "eval_proposal", settings.eval_proposal)

    def once(key: jax.Array, x: jax.Array) -> None:
        (params, state), batch = problem.estimator.init(key), Batch(x[None], jnp.zeros(1, int))
        problem.estimator.estimate(params, state, key, batch)
        joint = problem.model.joint(params.theta, x)
        proposal(key, joint, problem.recognition.r(params.eta, x), 1, 1)

    jax.eval_shape(once, jax.random.key(0), jnp.zeros(problem.dataset.train.shape[1]))


def _of_adam(settings: Settings) -> dict[str, float]:
    """The options that Adam has and the other optimizers have not."""
    if settings.optimizer != "adam":
        return {}
    return {
        "b1": settings.adam_b1,
        "eps": settings.adam_epsilon,
        "epsilon_hat": settings.epsilon_hat,
        "initial_nu": settings.adam_initial_nu,
    }


def _mesh(text: str | None, num_particles: int) -> jax.sharding.Mesh | None:
    """The mesh that --mesh asks for; without it, all devices of several hosts or one of one."""
    if text is None:
        return make_mesh(data=jax.device_count()) if jax.process_count() > 1 else None
    axes = [part.partition(":") for part in text.split(",")]
    sizes = {name: int(size) for name, _, size in axes if size.isdecimal() and len(size) < 10}
    if len(sizes) != len(axes) or not sizes.keys() <= {DATA, PARTICLES}:
        raise InputError(
            f"--mesh={text} is no mesh: write the devices along each axis, as "
            f"--mesh={DATA}:4,{PARTICLES}:2 or --mesh={DATA}:8"
        )
    if sizes.get(PARTICLES, 1) > num_particles:
        raise InputError(
            f"--mesh={text} has more devices for particles than --num_particles={num_particles}: "
            f"lower {PARTICLES}"
        )
    return make_mesh(**sizes)


@functools.lru_cache(maxsize=1)  # the cells of a sweep have it in common
def _load(name: str, data_dir: str | None, seed: int) -> Dataset:
    return load(name, data_dir=data_dir, seed=seed)


def fixed_bits(images: np.ndarray, index: np.ndarray | None = None) -> np.ndarray:
    """Bits of some of the images, by default of all; an image has the same ones in every run."""
    index = np.arange(len(images)) if index is None else index
    bits = np.empty((len(index), images.shape[1]), images.dtype)
    # The random numbers of all images at once would take several times their memory.
    for start in range(0, len(index), _BLOCK):
        some = index[start : start + _BLOCK]
        drawn = fixed(jax.random.key(_KEY_BITS), 0, 0, jnp.asarray(some), jnp.asarray(images[some]))
        bits[start : start + _BLOCK] = drawn
    return bits


def evenly_spaced(images: np.ndarray, size: int | None, flag: str) -> np.ndarray:
    """`size` rows (None or 0: all) from the first to the last.

    Published sets may be sorted by class, so that their first rows mislead.
    """
    if size and size > len(images):
        raise InputError(f"--{flag}={size} is more than the {len(images)} images: lower it")
    return images[spaced_index(len(images), size)] if size else images


def spaced_index(count: int, size: int | None) -> np.ndarray:
    """The places that are chosen; all of them where there are no more."""
    size = min(size, count) if size else count
    return np.arange(size) * count // size
