"""The settings of one training run: their names, defaults, meaning, and what is possible."""

import dataclasses
import math
import typing
from collections.abc import Mapping
from typing import Any

from experiments.run.choices import BINARIZATIONS, ORDERS, SCHEDULES, look_up
from experiments.run.data_settings import DataSettings
from experiments.run.denoising_settings import DenoisingSettings
from experiments.run.discrete_settings import DiscreteSettings
from experiments.run.fields import require_positive, setting
from experiments.run.log_z_settings import LogZSettings
from experiments.run.machine_settings import MachineSettings
from experiments.run.methods import METHODS
from experiments.run.network_settings import NetworkSettings
from experiments.run.optimizers import OPTIMIZERS
from experiments.run.sampling_settings import SamplingSettings
from experiments.run.splits import SPLITS
from remjax.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(
    DataSettings,
    NetworkSettings,
    DiscreteSettings,
    MachineSettings,
    LogZSettings,
    DenoisingSettings,
    SamplingSettings,
):
    """What a run is: each field is a flag of `experiments.train` and a key of config.json.

    Here are those that every kind of model has; each kind may have a class of its own among the
    bases. Whether a value goes with the kind is for `kinds.require_fit` to say.
    """

    method: str = setting("rem_v1", f"method of fitting: {', '.join(METHODS)}")
    split: str = setting("published", f"which images train and test: {', '.join(SPLITS)}")
    train_size: int | None = setting(None, "training images used, evenly spaced; default all")
    batch_size: int = setting(100, "images per update")
    epochs: int = setting(20, "passes over the training images")
    seed: int = setting(0, "seed of the parameters, the order, the bits and the particles")
    num_replicas: int = setting(1, "runs side by side in one program, from seed, seed + 1, ...")
    mesh: str | None = setting(
        None, "devices that share the work, as data:4,particles:2; default one"
    )
    model: str = setting(
        "gaussian",
        "kind of model: the stochastic layers of a decoder, a Boltzmann machine, or a network that "
        "denoises",
    )
    binarization: str = setting(
        "per_minibatch", f"when grey pixels become bits: {', '.join(BINARIZATIONS)}"
    )
    order: str = setting("shuffled", f"order of the images in an epoch: {', '.join(ORDERS)}")
    optimizer: str = setting("adam", f"optimizer of the parameters: {', '.join(OPTIMIZERS)}")
    learning_rate: float = setting(1e-3, "first rate of the optimizer")
    schedule: str = setting("burda", f"schedule of the learning rate: {', '.join(SCHEDULES)}")
    adam_epsilon: float = setting(5e-6, "epsilon of Adam, for a loss averaged over the batch")
    epsilon_hat: bool = setting(False, "Adam in its epsilon-hat form, as in the papers' codes")
    adam_b1: float = setting(0.9, "decay of the first moment of Adam")
    adam_initial_nu: float = setting(
        0.0, "second moments of Adam at the start, for --epsilon_hat; 1/400 in the release of IWAE"
    )
    init_from: str | None = setting(
        None, "folder of a finished run whose parameters and optimizer state this one starts from"
    )
    max_gradient_norm: float | None = setting(
        None, "clip the gradient of theta and that of eta to this norm; default no clipping"
    )
    eval_every: int | None = setting(
        None, "evaluate the test images after every so many epochs too; default at the end only"
    )
    pictures: bool = setting(
        True, "draw the pictures of a finished run; --nopictures leaves out a part of its time"
    )
    eval_size: int | None = setting(
        1000,
        "test images (and as many training images) evaluated, evenly spaced, or all if "
        "there are fewer; 0 for all",
        again="test and training images, evenly spaced; 0 for all",
    )

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
            ("split", SPLITS),
            ("binarization", BINARIZATIONS),
            ("order", ORDERS),
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
        ):
            look_up(table, flag, getattr(self, flag))
        super().__post_init__()
        require_positive(
            self,
            "train_size batch_size epochs num_replicas learning_rate adam_epsilon "
            "max_gradient_norm eval_every",
        )
        self._check_optimizer()
        self._check_seeds()
        if self.condition is not None and not self.is_file:
            raise InputError(
                f"--condition does nothing for --dataset={self.dataset}, which is no file: leave "
                "it out"
            )
        # One image has no standard error, and its latents no activity.
        if self.eval_size is not None and (self.eval_size < 0 or self.eval_size == 1):
            raise InputError(f"--eval_size={self.eval_size} cannot be: give 0 (all), 2 or more")

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

# The same run may go on with other values of these, which change no number of it.
MAY_CHANGE = ("data_dir", "mesh", "pictures")
