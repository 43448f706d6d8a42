"""How much of the review's protocol is run: the settings of its families and the three scales."""

from collections.abc import Mapping
from typing import Any, NamedTuple

Values = tuple[str, ...]


class Samples(NamedTuple):
    """Per image: L of AEVB, k of VAE and of IWAE, K of RWS (Figures 4, 8 and 10)."""

    aevb: tuple[int, ...]
    vae: tuple[int, ...]
    iwae: tuple[int, ...]
    rws: tuple[int, ...]


class Scale(NamedTuple):
    """How much of the protocol is run.

    Attributes:
        settings: laid over those of the families.
        dataset: of all figures but those of reweighted wake-sleep.
        binary_dataset: of those.
        families: laid over both, for one family (`FAMILIES`).
        hidden: units of Figures 2 and 7.
        latents: of AEVB (Figure 3) and of NVIL (Figure 6).
        samples: of Figures 4, 8 and 10.
        optimizers: of Figure 5, with their rates.
        layers: sizes of Figure 8 for each number of stochastic layers.
        fair: methods of the fair form of Figure 11, by the kind of latents.
    """

    settings: Mapping[str, Any]
    dataset: str
    binary_dataset: str
    families: Mapping[str, Mapping[str, Any]]
    hidden: tuple[Values, Values]
    latents: tuple[Values, Values]
    samples: Samples
    optimizers: Mapping[str, float]
    layers: Mapping[int, Mapping[str, str]]
    fair: Mapping[str, tuple[str, ...]]


# What the paper says of each family; what it leaves open is as the original papers have it: one
# tanh layer and AdaGrad for AEVB, and 1,000 epochs at most for reweighted wake-sleep.
FAMILIES: Mapping[str, Mapping[str, Any]] = {
    "aevb": {
        "epochs": 1000,
        "num_particles": 1,
        "hidden_size": "400",
        "hidden_layers": 1,
        "latent_size": "20",
        "optimizer": "adagrad",
        "learning_rate": 0.01,
        "schedule": "constant",
    },
    "nvil": {
        "epochs": 1500,
        "num_particles": 1,
        "model": "sigmoid_belief",
        "hidden_size": "400",
        "hidden_layers": 1,
        "latent_size": "200",
        "baseline_size": 400,
        "optimizer": "rmsprop",
        "learning_rate": 1e-3,
        "schedule": "constant",
    },
    "iwae": {"epochs": 3280, "batch_size": 20, "learning_rate": 1e-3, "schedule": "burda"},
    # Near the authors' code: momentum, dreams beside every batch, and 0.001 for a loss summed over
    # the batch of 25. There wake and sleep phases move eta at the full rate each, here at half.
    "rws": {
        "epochs": 1000,
        "num_particles": 5,
        "batch_size": 25,
        "model": "sigmoid_belief",
        "latent_size": "200,200,200",
        "hidden_layers": 0,
        "dream_share": 0.5,
        "optimizer": "momentum",
        "learning_rate": 0.025,
        "schedule": "constant",
    },
    # One decoder for all, FAIR_PASSES decoder passes per image and step, Adam.
    "fair_gaussian": {
        "epochs": 1000,
        "latent_size": "50",
        "hidden_size": "200",
        "learning_rate": 1e-3,
        "schedule": "constant",
    },
    "fair_bits": {
        "epochs": 1000,
        "model": "sigmoid_belief",
        "latent_size": "200",
        "hidden_layers": 0,
        "learning_rate": 1e-3,
        "schedule": "constant",
    },
}

# Decoder passes per image and step: an even number, for the pairs of DisARM.
FAIR_PASSES = 6
HALF_FOR_S = ("rem_v1", "rem_v2", "rem_v1_bernoulli", "rem_v2_bernoulli")

_FAIR = {
    "gaussian": ("vae", "iwae", "wake_sleep", "rws", "nvil", "vimco", "rem_v1"),
    "bits": (
        *("wake_sleep", "rws", "reinforce", "nvil", "rloo", "disarm", "vimco"),
        *("rem_v1_bernoulli", "rem_v2_bernoulli"),
    ),
}
_LAYERS = {
    1: {"latent_size": "50", "hidden_size": "200"},
    2: {"latent_size": "100,50", "hidden_size": "200,100"},
}

# On a CPU what hurts least goes first: points along the axes of the figures and the particles that
# carry the gradient, then epochs and images, then the particles and images of the evaluation, and
# the momentum of RWS, which barely moves in so few updates, becomes Adam.
SCALES: Mapping[str, Scale] = {
    "full": Scale(
        {"num_replicas": 5, "eval_every": 10, "eval_num_particles": 5000, "eval_size": 1000},
        "mnist",
        "binarized_mnist",
        {},
        (("100", "200", "400", "800"), ("100", "200", "400", "800")),
        (("2", "5", "10", "20", "50", "100", "200"), ("50", "100", "200", "500")),
        Samples((1, 5, 10), (1, 5, 50), (1, 5, 50), (2, 5, 10, 50, 100)),
        {"sgd": 1e-3, "adagrad": 0.01, "rmsprop": 1e-3},
        _LAYERS,
        _FAIR,
    ),
    "cpu": Scale(
        {
            "epochs": 15,
            "num_replicas": 3,
            "keep": 5,
            "train_size": 10_000,
            "eval_every": 3,
            "eval_num_particles": 200,
            "eval_size": 200,
        },
        "mnist",
        "binarized_mnist",
        {
            "iwae": {"epochs": 10, "train_size": 5_000, "eval_every": None},
            "rws": {"optimizer": "adam", "learning_rate": 1e-3},
            # All particles for all: not every method can leave some out of the gradient.
            "fair_gaussian": {"keep": None},
            "fair_bits": {"keep": None},
        },
        (("100", "400"), ("100", "400")),
        (("5", "20", "100"), ("50", "200")),
        Samples((1, 5), (1, 5), (1, 5, 50), (2, 5, 25)),
        {"sgd": 1e-3, "adagrad": 0.01, "rmsprop": 1e-3},
        _LAYERS,
        _FAIR,
    ),
    "smoke": Scale(
        {
            "epochs": 4,
            "num_replicas": 2,
            "batch_size": 50,
            "train_size": 300,
            "hidden_size": "20",
            "latent_size": "5",
            "schedule": "constant",
            "eval_every": 2,
            "eval_num_particles": 20,
            "eval_size": 20,
        },
        "digits",
        "digits",
        {},
        (("20",), ("20",)),
        (("5",), ("5",)),
        # Figure 8 shows the runs of the fair form.
        Samples((1,), (FAIR_PASSES,), (FAIR_PASSES,), (5,)),
        {"sgd": 1e-3, "rmsprop": 1e-3},
        {1: {"latent_size": "5"}},
        {"gaussian": ("vae", "iwae"), "bits": ("nvil", "rem_v1_bernoulli")},
    ),
}
