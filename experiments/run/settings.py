"""The settings of one training run: their names, defaults, meaning, and what is possible."""

import dataclasses
import math
import typing
from collections.abc import Mapping
from typing import Any

from experiments.run.choices import (
    ACTIVITIES,
    BINARIZATIONS,
    EVALUATION_PROPOSALS,
    INITIALIZATIONS,
    NETWORKS,
    ORDERS,
    SCHEDULES,
    look_up,
)
from experiments.run.method_options import MethodOptions
from experiments.run.methods import METHODS
from experiments.run.optimizers import OPTIMIZERS
from experiments.run.presets import SPLITS
from remjax.data import NAMES
from remjax.errors import InputError

_CATEGORIES = 10


def _setting(default: Any, meaning: str) -> Any:
    return dataclasses.field(default=default, metadata={"meaning": meaning})


def _sizes(flag: str, text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isdecimal() and 0 < int(part) < 2**31 for part in parts):
        raise InputError(
            f"--{flag}={text} cannot be: give a positive number, or one for each stochastic layer, "
            "as 100,50"
        )
    return tuple(map(int, parts))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(MethodOptions):
    """What a run is: each field is a flag of `experiments.train` and a key of config.json."""

    method: str = _setting("rem_v1", f"method of fitting: {', '.join(METHODS)}")
    dataset: str = _setting("digits", f"data set to fit: {', '.join(NAMES)}")
    data_dir: str | None = _setting(
        None, "folder of the data files; without it, REMJAX_DATA_DIR or a download"
    )
    split: str = _setting("published", f"which images train and test: {', '.join(SPLITS)}")
    split_seed: int = _setting(
        0, "seed of the split into training and test images, for sets published without a split"
    )
    train_size: int | None = _setting(None, "training images used, evenly spaced; default all")
    num_particles: int = _setting(50, "K, particles per image and per distribution drawn from")
    batch_size: int = _setting(100, "images per update")
    epochs: int = _setting(20, "passes over the training images")
    seed: int = _setting(0, "seed of the parameters, the order, the bits and the particles")
    num_replicas: int = _setting(1, "runs side by side in one program, from seed, seed + 1, ...")
    mesh: str | None = _setting(
        None, "devices that share the work, as data:4,particles:2; default one"
    )
    model: str = _setting("gaussian", f"the stochastic layers: {', '.join(NETWORKS)}")
    latent_size: str = _setting(
        "20", "dimension of the latent; with several layers one for each, z_1 first, as 100,50"
    )
    num_categories: int = _setting(_CATEGORIES, "categories of each latent of --model=categorical")
    hidden_size: str = _setting(
        "200", "units in each tanh layer; for all, or below each stochastic layer, as 200,100"
    )
    hidden_layers: int = _setting(
        2, "tanh layers below each stochastic layer, in both networks; 0 for linear ones"
    )
    baseline_size: int | None = _setting(
        None,
        "tanh units of the network of x that guesses the learning signal of nvil (default 100); "
        "0 for no such network",
    )
    initialization: str = _setting(
        "glorot", f"initial weights of the layers: {', '.join(INITIALIZATIONS)}"
    )
    bfloat16: bool = _setting(
        False, "train with a decoder whose matrix products round their factors to bfloat16"
    )
    mean_output: bool = _setting(True, "start the output of the decoder at the mean training image")
    centred_input: bool = _setting(
        True, "subtract the mean training image from the input of the encoder and of a baseline"
    )
    binarization: str = _setting(
        "per_minibatch", f"when grey pixels become bits: {', '.join(BINARIZATIONS)}"
    )
    order: str = _setting("shuffled", f"order of the images in an epoch: {', '.join(ORDERS)}")
    optimizer: str = _setting("adam", f"optimizer of the parameters: {', '.join(OPTIMIZERS)}")
    learning_rate: float = _setting(1e-3, "first rate of the optimizer")
    schedule: str = _setting("burda", f"schedule of the learning rate: {', '.join(SCHEDULES)}")
    adam_epsilon: float = _setting(5e-6, "epsilon of Adam, for a loss averaged over the batch")
    epsilon_hat: bool = _setting(False, "Adam in its epsilon-hat form, as in the papers' codes")
    adam_b1: float = _setting(0.9, "decay of the first moment of Adam")
    adam_initial_nu: float = _setting(
        0.0, "second moments of Adam at the start, for --epsilon_hat; 1/400 in the release of IWAE"
    )
    init_from: str | None = _setting(
        None, "folder of a finished run whose parameters and optimizer state this one starts from"
    )
    max_gradient_norm: float | None = _setting(
        None, "clip the gradient of theta and that of eta to this norm; default no clipping"
    )
    eval_every: int | None = _setting(
        None, "evaluate the test images after every so many epochs too; default at the end only"
    )
    eval_num_particles: int = _setting(5000, "K of the evaluation")
    eval_size: int | None = _setting(
        1000,
        "test images (and as many training images) evaluated, evenly spaced, or all if "
        "there are fewer; 0 for all",
    )
    eval_proposal: str = _setting(
        "recognition",
        f"where the particles of the evaluation come from: {', '.join(EVALUATION_PROPOSALS)}",
    )
    eval_activity: str = _setting(
        "averaged", f"how the activity of latents is measured: {', '.join(ACTIVITIES)}"
    )

    @property
    def latent_sizes(self) -> tuple[int, ...]:
        """The size of each stochastic layer, z_1 first."""
        return _sizes("latent_size", self.latent_size)

    @property
    def hidden_sizes(self) -> tuple[tuple[int, ...], ...]:
        """The widths of the tanh layers below each stochastic layer."""
        widths, layers = _sizes("hidden_size", self.hidden_size), len(self.latent_sizes)
        if len(widths) not in (1, layers):
            raise InputError(
                f"--hidden_size={self.hidden_size} does not go with --latent_size="
                f"{self.latent_size}: give one width, or one for each stochastic layer"
            )
        each = widths * layers if len(widths) == 1 else widths
        return tuple((width,) * self.hidden_layers for width in each)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "Settings":
        """The settings among these values; names that are no settings are left out.

        Raises:
            InputError: for a value of another kind, as in a config.json changed by hand.
        """
        kinds = {f.name: typing.get_args(f.type) or (f.type,) for f in dataclasses.fields(cls)}
        chosen = {name: value for name, value in values.items() if name in kinds}
        for name, value in chosen.items():
            fits = type(value) in kinds[name] or (type(value) is int and float in kinds[name])
            if not fits:
                raise InputError(f"the setting {name} cannot be {value!r}: give it as --{name} is")
        return cls(**chosen)

    def __post_init__(self) -> None:
        """Refuse a value that cannot be, in one line that names the flag."""
        for flag, table in (
            ("method", METHODS),
            ("model", NETWORKS),
            ("dataset", dict.fromkeys(NAMES)),
            ("split", SPLITS),
            ("initialization", INITIALIZATIONS),
            ("binarization", BINARIZATIONS),
            ("order", ORDERS),
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("eval_proposal", EVALUATION_PROPOSALS),
            ("eval_activity", ACTIVITIES),
        ):
            look_up(table, flag, getattr(self, flag))
        super().__post_init__()
        positive = (
            "train_size num_particles batch_size epochs num_replicas keep chunk_size learning_rate "
            "adam_epsilon max_gradient_norm eval_every eval_num_particles num_categories"
        )
        for flag in positive.split():
            value = getattr(self, flag)
            if value is not None and not value > 0:
                raise InputError(f"--{flag}={value} cannot be: give a positive number")
            if value is not None and value >= 2**31:  # a compiled program counts in 32 bits
                raise InputError(f"--{flag}={value} is too large: give less than 2^31")
        self._check_optimizer()
        for flag in ("hidden_layers", "baseline_size"):
            if (getattr(self, flag) or 0) < 0:
                raise InputError(f"--{flag}={getattr(self, flag)} cannot be: give 0 or more")
        _ = self.hidden_sizes  # refuses sizes that cannot be
        self._check_seeds()
        if self.model != "categorical" and self.num_categories != _CATEGORIES:
            raise InputError(
                f"--num_categories does nothing for --model={self.model}: leave it out"
            )
        # One image has no standard error, and its latents no activity.
        if self.eval_size is not None and (self.eval_size < 0 or self.eval_size == 1):
            raise InputError(f"--eval_size={self.eval_size} cannot be: give 0 (all), 2 or more")
        for flag, otherwise in (("keep", "to keep all particles"), ("chunk_size", "")):
            value = getattr(self, flag)
            if value is not None and value > self.num_particles:
                text = f"--{flag}={value} is more than --num_particles={self.num_particles}"
                raise InputError(f"{text}: lower it, or leave it out {otherwise}".rstrip())

    def _check_seeds(self) -> None:
        if not 0 <= self.seed <= 2**32 - self.num_replicas:
            raise InputError(
                f"--seed={self.seed} cannot be: give a number from 0 to 2^32 - {self.num_replicas}"
            )
        if not 0 <= self.split_seed < 2**32:
            raise InputError(
                f"--split_seed={self.split_seed} cannot be: give a number from 0 to 2^32 - 1"
            )
        if self.split_seed and self.dataset in ("mnist", "binarized_mnist"):
            raise InputError(
                f"--split_seed does nothing for --dataset={self.dataset}, whose test images are "
                "published: leave it out"
            )

    def _check_optimizer(self) -> None:
        if self.optimizer != "adam":
            for field in dataclasses.fields(self):
                of_adam = field.name.startswith("adam_") or field.name == "epsilon_hat"
                if of_adam and getattr(self, field.name) != field.default:
                    raise InputError(
                        f"--{field.name} does nothing for --optimizer={self.optimizer}: "
                        "leave it out"
                    )
        if not 0 <= self.adam_b1 < 1:
            raise InputError(f"--adam_b1={self.adam_b1} cannot be: give a number from 0 to below 1")
        if not 0 <= self.adam_initial_nu < math.inf:
            raise InputError(f"--adam_initial_nu={self.adam_initial_nu} cannot be: give 0 or more")
        if self.adam_initial_nu and not self.epsilon_hat:
            raise InputError(
                f"--adam_initial_nu={self.adam_initial_nu} needs the epsilon-hat form of Adam: "
                "add --epsilon_hat"
            )


DEFAULTS = dataclasses.asdict(Settings())

# The same run may go on with other values of these: they name places, not the run itself.
MAY_CHANGE = ("data_dir", "mesh")
