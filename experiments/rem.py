"""The protocol of the REM paper (Dieng & Paisley 2019): Table 2, Figures 1 and 2.

    python -m experiments.rem --run_dir=DIR --scale=cpu --data_dir=DATA

Every cell (data set, method, K) is a run of its own in DIR/cells, so a sweep that was stopped or
killed goes on where it was. Writes DIR/table.md, table.png, train_log_likelihoods.png and
test_log_likelihoods.png (Figure 1) and kl_against_particles.png (Figure 2).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from experiments import command_line, sweeps
from experiments.methods import look_up
from experiments.rem_report import KL_METHODS, write_report
from experiments.sweeps import Cell, Result

FLAGS = flags.FLAGS

PRESETS = ("rem_paper", "rem_release")
ALL_METHODS = ("vae", "iwae", "rws", "rem_v1", "rem_v2", "rem_mixture", "rem_pooled")


class Scale(NamedTuple):
    """How much of the protocol is run.

    Attributes:
        settings: laid over the preset's.
        datasets: of Table 2 and Figure 1.
        methods: likewise.
        particles: the values of K of Figure 2.
    """

    settings: Mapping[str, Any]
    datasets: tuple[str, ...]
    methods: tuple[str, ...]
    particles: tuple[int, ...]


# On a CPU what hurts least goes first: K and the particles that carry the gradient, then the number
# of epochs and images, then the particles of the evaluation.
SCALES: Mapping[str, Scale] = {
    "full": Scale(
        {"epochs": 200, "num_particles": 1000, "eval_num_particles": 1000, "eval_size": 0},
        ("binarized_mnist", "mnist", "omniglot"),
        ALL_METHODS,
        (1, 10, 100, 1000),
    ),
    "cpu": Scale(
        {
            "epochs": 4,
            "num_particles": 50,
            "keep": 16,
            "batch_size": 100,
            "train_size": 20_000,
            "eval_num_particles": 1000,
            "eval_size": 500,
        },
        ("binarized_mnist", "mnist", "omniglot"),
        ALL_METHODS,
        (5, 20, 100),
    ),
    "smoke": Scale(
        {
            "epochs": 2,
            "num_particles": 5,
            "batch_size": 100,
            "train_size": 300,
            "hidden_size": "20",
            "latent_size": "5",
            "eval_num_particles": 50,
            "eval_size": 50,
        },
        ("digits",),
        ("iwae", "rem_v1"),
        (2,),
    ),
}


def define_flags() -> None:
    """Where the sweep is, and how much of it."""
    sweeps.define_flags(SCALES, "rem_paper", PRESETS)
    flags.adopt_module_key_flags(sweeps)
    flags.DEFINE_list("datasets", None, "data sets; default those of the scale")
    flags.DEFINE_list("methods", None, "methods; default those of the scale")


def cells(scale: Scale) -> Iterator[Cell]:
    """The runs of Table 2 and Figure 1, then those that Figure 2 adds."""
    datasets = FLAGS.datasets or scale.datasets
    methods = FLAGS.methods or scale.methods
    wanted = [(dataset, method, {}) for dataset in datasets for method in methods]
    first = "mnist" if "mnist" in datasets else datasets[0]
    wanted += [
        (first, method, {"num_particles": count})
        for count in scale.particles
        for method in KL_METHODS
        if method in methods
    ]
    for dataset, method, extra in wanted:
        chosen = {"dataset": dataset} | extra
        if FLAGS.preset == "rem_release" and dataset == "binarized_mnist":
            chosen["split"] = "rem_release"
        settings = sweeps.common_settings(method, PRESETS, scale.settings, chosen)
        yield Cell(f"{dataset}-{settings.method}-K{settings.num_particles}", settings)


def main() -> None:
    """Run the sweep and write its report."""
    root = sweeps.sweep_folder("rem")
    scale = look_up(SCALES, "scale", FLAGS.scale)

    def report(root: Path, results: list[Result]) -> str:
        return write_report(root, results, scale.settings["num_particles"])

    sweeps.run_sweep("rem", root, sweeps.unique(cells(scale)), report)


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
