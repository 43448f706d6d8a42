"""The settings of the review's runs: what it states, what it leaves open, and the three scales."""

from collections.abc import Mapping
from typing import Any

from experiments.papers.protocol import NOT_STATED, Scale

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
        # The bits of s have the means of the weighted particles.
        "covariance": "weighted",
    },
}

# What the paper states of each family's settings.
_DATA = {"train_size": None, "keep": None, "eval_size": 0}
_FAIR_STATED = {"epochs": NOT_STATED, **_DATA}
STATED: Mapping[str, Mapping[str, Any]] = {
    "aevb": {
        "epochs": NOT_STATED,
        "batch_size": 100,
        "optimizer": NOT_STATED,
        "learning_rate": 0.01,
        **_DATA,
    },
    "nvil": {"epochs": 1500, "batch_size": 100, **_DATA},
    "iwae": {
        "epochs": 3280,
        "batch_size": 20,
        "eval_num_particles": 5000,
        **_DATA,
        "last learning rate": 1e-4,
    },
    "rws": {
        "epochs": NOT_STATED,
        "batch_size": 25,
        "optimizer": "stochastic gradient descent",
        **_DATA,
    },
    "fair_gaussian": _FAIR_STATED,
    "fair_bits": _FAIR_STATED,
}
_BOUND = "L_K of test images (the paper plots a lower bound)"
_FAIR = (
    "not in the paper: one decoder, Adam and one evaluation for all methods, and as many particles "
    "scored (methods that also draw from s draw half as many from r and from s; the dreams of "
    "wake-sleep come on top)"
)
# What else differs in each family.
REMARKS: Mapping[str, tuple[str, ...]] = {
    "aevb": ("the paper states no layers, likelihood and N_z", _BOUND),
    "nvil": (
        "the paper states no rates of AdaGrad (ours: 0.01) and RMSProp (ours: 0.001)",
        "gradients are means over the batch, which makes SGD at 0.001 slow",
        "local signals, variance normalised",
        _BOUND,
    ),
    "iwae": ("the encoder sees centred images",),
    "rws": (
        "the paper states no sizes and rate",
        "initial weights are ours",
        "dreams in every step, wake and sleep phase at half the rate each",
        "L_K of test images",
    ),
    "fair_gaussian": (_FAIR,),
    "fair_bits": (_FAIR,),
}

# Decoder passes per image and step: an even number, for the pairs of DisARM.
FAIR_PASSES = 6
HALF_FOR_S = ("rem_v1", "rem_v2")

_FAIR_METHODS = {
    "gaussian": ("vae", "iwae", "wake_sleep", "rws", "nvil", "vimco", "rem_v1"),
    "bits": (
        *("wake_sleep", "rws", "reinforce", "nvil", "rloo", "disarm", "vimco"),
        *("rem_v1", "rem_v2"),
    ),
}
_LAYERS = {
    1: {"latent_size": "50", "hidden_size": "200"},
    2: {"latent_size": "100,50", "hidden_size": "200,100"},
}
FIGURES = ("2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "11_fair_gaussian", "11_fair_bits")
_PUBLISHED = {
    "figures": FIGURES,
    "dataset": "mnist",
    "binary_dataset": "binarized_mnist",
    "optimizers": {"sgd": 1e-3, "adagrad": 0.01, "rmsprop": 1e-3},
    "layers": _LAYERS,
    "figure_11_latents": {"aevb": {"latent_size": "100"}, "nvil": {"latent_size": "500"}},
    "fair": _FAIR_METHODS,
}

# What a scale's values are:
#   figures            those that are run.
#   dataset            of all figures but those of reweighted wake-sleep (RWS).
#   binary_dataset     of those.
#   families           settings that take precedence over the scale's, for one family.
#   aevb_hidden, nvil_hidden    hidden units of Figures 2 and 7.
#   aevb_latents, nvil_latents  latents of Figures 3 and 6.
#   aevb_samples, vae_samples, iwae_samples, rws_samples
#                      samples per image: L of Figure 4, k of Figure 8, K of Figure 10.
#   optimizers         of Figure 5, with their rates.
#   layers             sizes of Figure 8 for each number of stochastic layers.
#   figure_11_latents  of Figure 11 as published.
#   fair               methods of the fair form of Figure 11, by the kind of latents.
# On a CPU what hurts least goes first: points along the axes of the figures and the particles that
# carry the gradient, then epochs and images, then the particles and images of the evaluation, and
# the momentum of RWS, which barely moves in so few updates, becomes Adam.
SCALES: Mapping[str, Scale] = {
    "full": Scale(
        settings={
            "num_replicas": 5,
            "eval_every": 10,
            "eval_num_particles": 5000,
            "eval_size": 1000,
        },
        values={
            **_PUBLISHED,
            "families": {},
            "aevb_hidden": ("100", "200", "400", "800"),
            "nvil_hidden": ("100", "200", "400", "800"),
            "aevb_latents": ("2", "5", "10", "20", "50", "100", "200"),
            "nvil_latents": ("50", "100", "200", "500"),
            "aevb_samples": (1, 5, 10),
            "vae_samples": (1, 5, 50),
            "iwae_samples": (1, 5, 50),
            "rws_samples": (2, 5, 10, 50, 100),
        },
    ),
    "cpu": Scale(
        settings={
            "epochs": 15,
            "num_replicas": 3,
            "keep": 5,
            "train_size": 10_000,
            "eval_every": 3,
            "eval_num_particles": 200,
            "eval_size": 200,
        },
        values={
            **_PUBLISHED,
            "families": {
                "iwae": {"epochs": 10, "train_size": 5_000, "eval_every": None},
                "rws": {"optimizer": "adam", "learning_rate": 1e-3},
                # All particles for all: not every method can leave some out of the gradient.
                "fair_gaussian": {"keep": None},
                "fair_bits": {"keep": None},
            },
            "aevb_hidden": ("100", "400"),
            "nvil_hidden": ("100", "400"),
            "aevb_latents": ("5", "20", "100"),
            "nvil_latents": ("50", "200"),
            "aevb_samples": (1, 5),
            "vae_samples": (1, 5),
            "iwae_samples": (1, 5, 50),
            "rws_samples": (2, 5, 25),
        },
    ),
    "smoke": Scale(
        settings={
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
        values={
            "figures": FIGURES,
            "dataset": "digits",
            "binary_dataset": "digits",
            "families": {},
            "aevb_hidden": ("20",),
            "nvil_hidden": ("20",),
            "aevb_latents": ("5",),
            "nvil_latents": ("5",),
            "aevb_samples": (1,),
            # Figure 8 shows the runs of the fair form.
            "vae_samples": (FAIR_PASSES,),
            "iwae_samples": (FAIR_PASSES,),
            "rws_samples": (5,),
            "optimizers": {"sgd": 1e-3, "rmsprop": 1e-3},
            "layers": {1: {"latent_size": "5"}},
            "figure_11_latents": {"aevb": {}, "nvil": {}},
            "fair": {"gaussian": ("vae", "iwae"), "bits": ("nvil", "rem_v1")},
        },
    ),
}
