"""The protocol of the review (Islam, Gao & Johne): Figures 2 to 11, and Figure 11 made fair.

    python -m experiments.review --run_dir=DIR --scale=cpu --data_dir=DATA

Every cell is a run of its own in DIR/cells, so a sweep that was stopped or killed goes on where it
was. The paper prints curves and no numbers. Writes DIR/table.md, orderings.md, both as pictures
too, and figure_2.png to figure_11_fair_bits.png.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from experiments import command_line, sweeps
from experiments.methods import look_up
from experiments.review_report import FIGURES, Point, write_report
from experiments.sweeps import Cell, Result

FLAGS = flags.FLAGS

PRESETS = ("review",)

Values = tuple[str, ...]


class Scale(NamedTuple):
    """How much of the protocol is run.

    Attributes:
        settings: laid over those of the families.
        dataset: of all figures but those of reweighted wake-sleep.
        binary_dataset: of those.
        families: laid over both, for one family (`FAMILIES`).
        hidden: units of Figures 2 and 7.
        latents: of AEVB (Figure 3) and of NVIL (Figure 6).
        samples: per image, L of Figure 4, k of Figure 8 for the VAE and for the IWAE, K of Figure
            10.
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
    samples: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]
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
    # 0.001 for a loss summed over the batch of 25, as the authors' code has it.
    "rws": {
        "epochs": 1000,
        "num_particles": 5,
        "batch_size": 25,
        "model": "sigmoid_belief",
        "latent_size": "200,200,200",
        "hidden_layers": 0,
        "optimizer": "sgd",
        "learning_rate": 0.025,
        "schedule": "constant",
    },
    # One decoder for all, five decoder passes per image and step, Adam.
    "fair_gaussian": {
        "epochs": 1000,
        "num_particles": 5,
        "latent_size": "50",
        "hidden_size": "200",
        "learning_rate": 1e-3,
        "schedule": "constant",
    },
    "fair_bits": {
        "epochs": 1000,
        "num_particles": 5,
        "model": "sigmoid_belief",
        "latent_size": "200",
        "hidden_layers": 0,
        "learning_rate": 1e-3,
        "schedule": "constant",
    },
}

_FAIR = {
    "gaussian": ("vae", "iwae", "wake_sleep", "rws", "nvil", "vimco"),
    "bits": ("wake_sleep", "rws", "reinforce", "nvil", "rloo", "vimco"),
}
_LAYERS = {
    1: {"latent_size": "50", "hidden_size": "200"},
    2: {"latent_size": "100,50", "hidden_size": "200,100"},
}

# On a CPU what hurts least goes first: points along the axes of the figures and the particles that
# carry the gradient, then epochs and images, then the particles and images of the evaluation, and
# gradient descent of the belief networks, which barely moves in so few updates, becomes Adam.
SCALES: Mapping[str, Scale] = {
    "full": Scale(
        {"num_replicas": 5, "eval_every": 10, "eval_num_particles": 5000, "eval_size": 1000},
        "mnist",
        "binarized_mnist",
        {},
        (("100", "200", "400", "800"), ("100", "200", "400", "800")),
        (("2", "5", "10", "20", "50", "100", "200"), ("50", "100", "200", "500")),
        ((1, 5, 10), (1, 5, 50), (1, 5, 50), (2, 5, 10, 50, 100)),
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
        },
        (("100", "400"), ("100", "400")),
        (("5", "20", "100"), ("50", "200")),
        ((1, 5), (1, 5), (1, 5, 50), (2, 5, 25)),
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
        ((1,), (5,), (5,), (5,)),
        {"sgd": 1e-3, "rmsprop": 1e-3},
        {1: {"latent_size": "5"}},
        {"gaussian": ("vae", "iwae"), "bits": ("nvil", "vimco")},
    ),
}


def define_flags() -> None:
    """Where the sweep is, and how much of it."""
    sweeps.define_flags(SCALES, "review", PRESETS)
    flags.adopt_module_key_flags(sweeps)
    flags.DEFINE_list("figures", None, f"figures of the paper; default all: {', '.join(FIGURES)}")


def points(scale: Scale) -> Iterator[Point]:
    """What each figure shows, figure by figure; several may show the same run."""

    def point(
        figure: str, line: str, value: object, family: str, method: str, **changes: Any
    ) -> Point:
        dataset = scale.binary_dataset if family == "rws" else scale.dataset
        layers = FAMILIES[family], scale.settings, scale.families.get(family, {}), changes
        settings = sweeps.common_settings(method, PRESETS, {"dataset": dataset}, *layers)
        return Point(figure, line, str(value), family, settings)

    for size in scale.hidden[0]:
        yield point("2", "AEVB", size, "aevb", "vae", hidden_size=size)
    for size in scale.latents[0]:
        yield point("3", "AEVB", size, "aevb", "vae", latent_size=size)
    for count in scale.samples[0]:
        yield point("4", "AEVB", count, "aevb", "vae", num_particles=count)
    for name, rate in scale.optimizers.items():
        chosen = {"optimizer": name, "learning_rate": rate}
        yield point("5", "NVIL", name, "nvil", "nvil", **chosen)
    for size in scale.latents[1]:
        yield point("6", "NVIL", size, "nvil", "nvil", latent_size=size)
    for size in scale.hidden[1]:
        yield point("7", "NVIL", size, "nvil", "nvil", hidden_size=size)
    for layers, sizes in scale.layers.items():
        for method, counts in zip(("vae", "iwae"), scale.samples[1:3], strict=True):
            line = f"{method.upper()}, {layers} layer" + "s" * (layers > 1)
            for count in counts:
                # Of one particle both are the same algorithm.
                same = "vae" if count == 1 else method
                yield point("8", line, count, "iwae", same, num_particles=count, **sizes)
    yield point("9", "RWS", 5, "rws", "rws")
    for count in scale.samples[3]:
        yield point("10", "RWS", count, "rws", "rws", num_particles=count)
    small = scale.dataset in sweeps.SMALL_DATASETS
    wide = [{}, {}] if small else [{"latent_size": "100"}, {"latent_size": "500"}]
    yield point("11", "AEVB", "as published", "aevb", "vae", **wide[0])
    chosen = {"optimizer": "sgd", "learning_rate": scale.optimizers["sgd"]}
    yield point("11", "NVIL", "as published", "nvil", "nvil", **chosen, **wide[1])
    most = max(scale.samples[3])
    yield point("11", "RWS", "as published", "rws", "rws", num_particles=most)
    for kind, methods in scale.fair.items():
        for method in methods:
            yield point(f"11_fair_{kind}", method, "fair", f"fair_{kind}", method)


def main() -> None:
    """Run the sweep and write its report."""
    root = sweeps.sweep_folder("review")
    scale = look_up(SCALES, "scale", FLAGS.scale)
    for figure in FLAGS.figures or ():
        look_up(FIGURES, "figures", figure)
    shown = [
        point for point in points(scale) if FLAGS.figures is None or point.figure in FLAGS.figures
    ]
    cells = sweeps.unique(Cell(point.name, point.settings) for point in shown)

    def report(root: Path, results: list[Result]) -> str:
        found = {cell.settings: result for cell, result in zip(cells, results, strict=True)}
        return write_report(root, shown, found)

    sweeps.run_sweep("review", root, cells, report)


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
