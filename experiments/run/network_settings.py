"""The settings of models with a recognition network: its networks, particles and evaluation."""

import dataclasses
import math

from experiments.run.choices import ACTIVITIES, EVALUATION_PROPOSALS, INITIALIZATIONS, look_up
from experiments.run.fields import require_positive, setting
from experiments.run.likelihoods import NAMES as LIKELIHOODS
from experiments.run.method_options import MethodOptions
from remjax.errors import InputError


def _sizes(flag: str, text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isdecimal() and 0 < int(part) < 2**31 for part in parts):
        raise InputError(
            f"--{flag}={text} cannot be: give a positive number, or one for each stochastic layer, "
            "as 100,50"
        )
    return tuple(map(int, parts))


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkSettings(MethodOptions):
    """The settings of a run that only models with a recognition network have, or some of them."""

    likelihood: str = setting(
        "auto", f"distribution of the data given the latent: {', '.join(LIKELIHOODS)}"
    )
    missing: str = setting(
        "refuse",
        "what to do about missing values: refuse, or marginalize to leave them out of the "
        "likelihood",
    )
    condition: str | None = setting(
        None,
        "columns of a file, or of the array `condition` of an .npz, that the others are "
        "conditioned on, as species,age",
    )
    num_particles: int = setting(50, "K, particles per image and per distribution drawn from")
    latent_size: str = setting(
        "20", "dimension of the latent; with several layers one for each, z_1 first, as 100,50"
    )
    num_categories: int = setting(10, "categories of each latent of --model=categorical")
    hidden_size: str = setting(
        "200", "units in each tanh layer; for all, or below each stochastic layer, as 200,100"
    )
    hidden_layers: int = setting(
        2, "tanh layers below each stochastic layer, in both networks; 0 for linear ones"
    )
    baseline_size: int | None = setting(
        None,
        "tanh units of the network of x that guesses the learning signal of nvil (default 100); "
        "0 for no such network",
    )
    warm_up: int = setting(
        0, "updates over which the weight of the KL term rises from 0 to 1; 0 for none"
    )
    weight_decay: float = setting(
        0.0, "strength of half the sum of squared weights of the networks in the loss"
    )
    initialization: str = setting(
        "glorot", f"initial weights of the layers: {', '.join(INITIALIZATIONS)}"
    )
    bfloat16: bool = setting(
        False, "train with a decoder whose matrix products round their factors to bfloat16"
    )
    mean_output: bool = setting(True, "start the output of the decoder at the mean training image")
    centred_input: bool = setting(
        True, "subtract the mean training image from the input of the encoder and of a baseline"
    )
    eval_num_particles: int = setting(5000, "K of the evaluation", again="K of the evaluation")
    eval_proposal: str = setting(
        "recognition",
        f"where the particles of the evaluation come from: {', '.join(EVALUATION_PROPOSALS)}",
        again=f"source of the particles: {', '.join(EVALUATION_PROPOSALS)}",
    )
    eval_activity: str = setting(
        "averaged", f"how the activity of latents is measured: {', '.join(ACTIVITIES)}"
    )

    @property
    def condition_names(self) -> tuple[str, ...]:
        """The columns that the others are conditioned on."""
        return () if self.condition is None else tuple(self.condition.split(","))

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

    def __post_init__(self) -> None:
        """Refuse a value that cannot be, in one line that names the flag."""
        super().__post_init__()
        for flag, table in (
            ("likelihood", dict.fromkeys(LIKELIHOODS)),
            ("missing", dict.fromkeys(("refuse", "marginalize"))),
            ("initialization", INITIALIZATIONS),
            ("eval_proposal", EVALUATION_PROPOSALS),
            ("eval_activity", ACTIVITIES),
        ):
            look_up(table, flag, getattr(self, flag))
        require_positive(self, "num_particles keep chunk_size eval_num_particles num_categories")
        for flag in ("hidden_layers", "baseline_size", "warm_up"):
            if (getattr(self, flag) or 0) < 0:
                raise InputError(f"--{flag}={getattr(self, flag)} cannot be: give 0 or more")
        if not 0 <= self.weight_decay < math.inf:
            raise InputError(f"--weight_decay={self.weight_decay} cannot be: give 0 or more")
        if self.warm_up:
            require_positive(self, "warm_up")
        _ = self.hidden_sizes  # refuses sizes that cannot be
        for flag, otherwise in (("keep", "to keep all particles"), ("chunk_size", "")):
            value = getattr(self, flag)
            if value is not None and value > self.num_particles:
                text = f"--{flag}={value} is more than --num_particles={self.num_particles}"
                raise InputError(f"{text}: lower it, or leave it out {otherwise}".rstrip())


# `keep`, `chunk_size` and the knobs are a method's, and not a model's.
NETWORK_SETTINGS = frozenset(
    field.name for field in dataclasses.fields(NetworkSettings)
) - frozenset(field.name for field in dataclasses.fields(MethodOptions))
