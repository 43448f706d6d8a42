"""The protocol of the IWAE paper (Burda, Grosse & Salakhutdinov 2015): Tables 1, 2, 3, its figures.

    python -m experiments.iwae --run_dir=DIR --scale=cpu --data_dir=DATA

Every cell (data set, stochastic layers, objective, k) is a run of its own in DIR/cells, so a sweep
that was stopped or killed goes on where it was. Writes DIR/table.md, orderings.md, both as pictures
too, activity.png (histogram of log A_u), samples.png and posteriors.png (two latents).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from experiments import command_line, sweeps
from experiments.iwae_report import write_report
from experiments.methods import look_up
from experiments.presets import SPLITS_OF_IWAE
from experiments.sweeps import Cell

FLAGS = flags.FLAGS

PRESETS = ("iwae_paper", "iwae_release")


class Scale(NamedTuple):
    """How much of the protocol is run.

    Attributes:
        settings: laid over the preset's.
        datasets: of Tables 1 and 3; the first is that of Table 2 and of the two latents.
        particles: the values of k for the IWAE; the last is that of Table 2.
        vae_particles: those for the VAE, for each number of stochastic layers; with one particle
            the objectives are the same algorithm.
        maps: those of the posteriors over two latents.
        layers: the sizes for each number of stochastic layers.
        last_stage: i of the last 3^i epochs at 0.001 * 10^(-i/7), which Table 2 repeats.
    """

    settings: Mapping[str, Any]
    datasets: tuple[str, ...]
    particles: tuple[int, ...]
    vae_particles: Mapping[int, tuple[int, ...]]
    maps: tuple[int, ...]
    layers: Mapping[int, Mapping[str, str]]
    last_stage: int


_LAYERS = {
    1: {"latent_size": "50", "hidden_size": "200"},
    2: {"latent_size": "100,50", "hidden_size": "200,100"},
}

# On a CPU what hurts least goes first: the particles that carry the gradient of IWAE, the VAE of 50
# particles (the paper: k hardly helps it, and it costs most), then epochs and images, then the
# particles and images of the evaluation. k of IWAE is what the paper is about: it stays, and so do
# the networks.
SCALES: Mapping[str, Scale] = {
    "full": Scale(
        {"epochs": 3280, "num_replicas": 3},
        ("mnist", "omniglot", "binarized_mnist"),
        (5, 50),
        {1: (1, 5, 50), 2: (1, 5, 50)},
        (1, 5, 50),
        _LAYERS,
        7,
    ),
    "cpu": Scale(
        {
            "epochs": 13,
            "num_replicas": 3,
            "keep": 5,
            "train_size": 8_000,
            "eval_num_particles": 500,
            "eval_size": 200,
        },
        ("mnist", "omniglot", "binarized_mnist"),
        (5, 50),
        {1: (1, 5), 2: (1, 5)},
        (1, 5, 50),
        _LAYERS,
        2,
    ),
    "smoke": Scale(
        {
            "epochs": 4,
            "num_replicas": 2,
            "batch_size": 50,
            "train_size": 300,
            "eval_num_particles": 20,
            "eval_size": 20,
        },
        ("digits",),
        (5,),
        {1: (1,), 2: ()},
        (5,),
        {
            1: {"latent_size": "5", "hidden_size": "20"},
            2: {"latent_size": "6,3", "hidden_size": "20,10"},
        },
        1,
    ),
}


def define_flags() -> None:
    """Where the sweep is, and how much of it."""
    sweeps.define_flags(SCALES, "iwae_paper", PRESETS)
    flags.adopt_module_key_flags(sweeps)
    flags.DEFINE_list("datasets", None, "data sets; default those of the scale")


def cells(root: Path, scale: Scale) -> Iterator[Cell]:
    """The runs of Tables 1 and 3, of Table 2, and with two latents.

    Args:
        root: the sweep's folder, where the runs of Table 2 find those that they continue.
        scale: how much.
    """
    datasets = FLAGS.datasets or scale.datasets

    def cell(name: str, method: str, *layers: Mapping[str, Any]) -> Cell:
        return Cell(name, sweeps.common_settings(method, PRESETS, scale.settings, *layers))

    for dataset in datasets:
        for layers, sizes in scale.layers.items():
            counts = {"vae": scale.vae_particles[layers], "iwae": scale.particles}
            for method, k in [(method, k) for method, ks in counts.items() for k in ks]:
                chosen = _data(dataset) | {"num_particles": k} | sizes
                yield cell(table_cell(dataset, layers, method, k), method, chosen)
    dataset, last = datasets[0], scale.last_stage
    stage = {
        "epochs": 3**last,
        "learning_rate": 1e-3 * 10.0 ** (-last / 7.0),
        "schedule": "constant",
    }
    vae, iwae = ("vae", 1), ("iwae", max(scale.particles))
    for first, second in ((vae, iwae), (iwae, vae)):
        origin = root / "cells" / table_cell(dataset, 1, *first)
        chosen = _data(dataset) | scale.layers[1] | {"num_particles": second[1]} | stage
        name = f"{dataset}-{first[0]}-then-{second[0]}"
        yield cell(name, second[0], chosen, {"init_from": str(origin)})
    for k in scale.maps:
        method = "iwae" if k > 1 else "vae"
        chosen = _data(dataset) | scale.layers[1] | {"num_particles": k, "latent_size": "2"}
        yield cell(f"{dataset}-two-latents-{method}-k{k}", method, chosen)


def table_cell(dataset: str, layers: int, method: str, k: int) -> str:
    """The name of a cell of Table 1 or 3."""
    return f"{dataset}-{layers}-{method}-k{k}"


def _data(dataset: str) -> dict[str, Any]:
    if FLAGS.preset == "iwae_release" and dataset not in SPLITS_OF_IWAE:
        return {"dataset": dataset, "split": "published"}
    return {"dataset": dataset}


def main() -> None:
    """Run the sweep and write its report."""
    root = sweeps.sweep_folder("iwae")
    scale = look_up(SCALES, "scale", FLAGS.scale)
    sweeps.run_sweep("iwae", root, list(cells(root, scale)), write_report)


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
