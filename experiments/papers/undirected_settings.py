"""The settings of the runs on undirected posteriors: what is stated, and the three scales."""

from collections.abc import Mapping
from typing import Any

from experiments.papers.protocol import Scale

# Of the authors' code, where the paper is silent.
STATED: Mapping[str, Any] = {
    "batch_size": 100,
    "hidden_size": "200",
    "num_replicas": 5,
    # Normal weights of variance 2 over the number of inputs.
    "initialization": "he",
    "prior_phase": "population",
    "posterior_sweeps": 10,
    "relaxed_sweeps": 1,
    "eval_num_particles": 4000,
    "eval_size": 0,
    "log_z_base": "uniform",
    "log_z_temperatures": 10_000,
    "log_z_chains": 1024,
}
UPDATES = 1_000_000
# Training images and where they come from: the code puts 1,345 of OMNIGLOT's 24,345 aside.
IMAGES = {"binarized_mnist": 50_000, "omniglot": 23_000}
SPLITS = {"omniglot": "iwae_release"}
# What else the code does: it scores the best of fifty looks at the validation images.
LAST = "the last update is scored (the best on validation images)"
PUT_ASIDE = "1,345 images are put aside at random (the last ones)"

# What a directed posterior has not.
OF_MACHINES = ("posterior_sweeps", "relaxed_sweeps")

# What a scale's values are:
#   updates       of each run, where they decide how many epochs there are; None for the settings'.
#   datasets      the first is that of the pictures.
#   sizes         bits of each side of the prior.
#   relaxations   of directed posteriors, in Tables 1 and 4.
#   groups        of directed posteriors.
#   particles     K of the importance-weighted bound, Table 2, for pwl and the machine.
#   original      whether the structure without a shared context is run too, Table 4.
#   toys          of Figures 1 and 4: updates, seeds, values of t.
#   temperatures  of Figure 3; the last is for the true value.
#   mode_images   test images whose posteriors have their modes counted.
#   structured    of Table 3, on these data sets, with machines of the first of the sizes.
# On a CPU what the paper is about stays: directed posteriors of several groups beside a machine,
# at a hundredth of the updates; the other relaxations and the importance-weighted bound come first.
SCALES: Mapping[str, Scale] = {
    "full": Scale(
        settings={
            "num_replicas": 5,
            "log_z_base": "uniform",
            "log_z_temperatures": 10_000,
            "log_z_chains": 1024,
        },
        values={
            "updates": UPDATES,
            "datasets": ("binarized_mnist", "omniglot"),
            "sizes": (100, 200),
            "relaxations": ("pwl", "concrete", "power"),
            "groups": (1, 2, 4),
            "particles": (5, 25),
            "original": True,
            "toys": {"updates": 10_000, "seeds": 5, "sweeps": (1, 2, 4, 8)},
            "temperatures": (10, 30, 100, 300, 1000, 3000, 10_000, 2**18),
            "mode_images": 100,
            "structured": {
                "groups": (1, 2, 4),
                "particles": (1, 5, 25),
                "updates": UPDATES,
            },
        },
    ),
    "cpu": Scale(
        settings={
            "epochs": 20,
            "warm_up": 3000,
            "num_replicas": 1,
            # 2,500 sweeps of a chain in an update, where the population takes 40,000.
            "prior_phase": "pcd",
            "prior_chains": 500,
            "prior_sweeps": 5,
            "eval_num_particles": 1000,
            "eval_size": 200,
            "log_z_base": "biases",
            "log_z_temperatures": 2000,
            "log_z_chains": 500,
        },
        values={
            "updates": None,
            "datasets": ("binarized_mnist",),
            "sizes": (100,),
            "relaxations": ("pwl",),
            "groups": (1, 4),
            "particles": (),
            "original": False,
            "toys": {"updates": 2000, "seeds": 3, "sweeps": (1, 2, 4, 8)},
            "temperatures": (10, 30, 100, 300, 1000, 3000, 30_000),
            "mode_images": 30,
            "structured": {"groups": (1,), "particles": (1, 5), "updates": 4000},
        },
    ),
    "smoke": Scale(
        settings={
            "epochs": 2,
            "warm_up": 5,
            "num_replicas": 1,
            "batch_size": 50,
            "train_size": 300,
            "hidden_size": "20",
            "prior_chains": 20,
            "prior_temperatures": 5,
            "posterior_sweeps": 2,
            "eval_num_particles": 20,
            "eval_temperatures": 10,
            "eval_size": 10,
            "log_z_temperatures": 20,
            "log_z_chains": 20,
            "log_z_burn_in": 10,
        },
        values={
            "updates": None,
            "datasets": ("digits",),
            "sizes": (6,),
            "relaxations": ("pwl",),
            "groups": (1, 2),
            "particles": (2,),
            "original": False,
            "toys": {"updates": 20, "seeds": 1, "sweeps": (1, 2)},
            "temperatures": (3, 10, 30),
            "mode_images": 3,
            "structured": {"groups": (2,), "particles": (2,), "updates": 4},
        },
    ),
}


def length(dataset: str, updates: int) -> dict[str, int]:
    """The epochs that have so many updates, and the 30 % of them in which the KL term grows."""
    in_epoch = IMAGES.get(dataset, IMAGES["binarized_mnist"]) // STATED["batch_size"]
    epochs = -(-updates // in_epoch)
    return {"epochs": epochs, "warm_up": 3 * epochs * in_epoch // 10}
