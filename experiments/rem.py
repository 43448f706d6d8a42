"""The protocol of the REM paper (Dieng & Paisley 2019): Table 2, Figures 1 and 2.

    python -m experiments.rem --run_dir=DIR --scale=cpu --data_dir=DATA

Every cell (data set, method, K) is a run of its own in DIR/cells, so a sweep that was stopped or
killed goes on where it was. Writes DIR/table.md, table.png, log_likelihoods.png (Figure 1) and
kl_against_particles.png (Figure 2).
"""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from experiments import command_line
from experiments.fitting import Stopped
from experiments.method_options import applies
from experiments.methods import look_up
from experiments.presets import PRESETS, form_of
from experiments.problem import build
from experiments.progress import progress_bar
from experiments.rem_report import KL_METHODS, write_report
from experiments.run_directory import start
from experiments.runs import run_to_result
from experiments.settings import MAY_CHANGE, Settings
from experiments.stopping import StopRequest, stop_on_signal
from remjax.errors import InputError

FLAGS = flags.FLAGS

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


# Smaller than the training sets of the scales above smoke: they are used whole.
SMALL_DATASETS = ("digits", "freyfaces")


def define_flags() -> None:
    """Where the sweep is, and how much of it."""
    flags.DEFINE_string("run_dir", None, "folder of the sweep; one that is there goes on")
    flags.DEFINE_string("data_dir", None, "folder of the data files; default as experiments.train")
    flags.DEFINE_string(
        "scale", "cpu", "smoke (a minute), cpu (an hour on 2 cores) or full (a GPU)"
    )
    flags.DEFINE_string("preset", "rem_paper", "rem_paper (the text) or rem_release (the code)")
    flags.DEFINE_list("datasets", None, "data sets; default those of the scale")
    flags.DEFINE_list("methods", None, "methods; default those of the scale")


def cells(scale: Scale) -> Iterator[Settings]:
    """The runs of Table 2 and Figure 1, then those that Figure 2 adds."""
    preset = look_up(PRESETS, "preset", FLAGS.preset)
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
    seen = set()
    for dataset, method, extra in wanted:
        name = form_of(method, FLAGS.preset)
        chosen = {"data_dir": FLAGS.data_dir} | dict(preset) | dict(scale.settings) | extra
        if FLAGS.preset == "rem_release" and dataset == "binarized_mnist":
            chosen["split"] = "rem_release"
        if dataset in SMALL_DATASETS and chosen.get("train_size", 0) > 1_000:
            del chosen["train_size"]
        # What a method does not have is left out; no more can be kept than there are.
        chosen = {key: value for key, value in chosen.items() if applies(key, name)}
        if chosen.get("keep"):
            chosen["keep"] = min(chosen["keep"], chosen["num_particles"])
        settings = Settings.from_mapping(chosen | {"dataset": dataset, "method": name})
        if settings not in seen:
            seen.add(settings)
            yield settings


def _require_ours(root: Path) -> None:
    """Raises InputError if the folder has files and is no sweep."""
    strangers = sorted(entry.name for entry in root.iterdir()) if root.is_dir() else []
    if strangers and "cells" not in strangers:
        raise InputError(
            f"{root} holds {strangers[0]} but no sweep: choose another --run_dir, new or empty"
        )


def run_cells(root: Path, wanted: list[Settings], stop: StopRequest) -> list[dict[str, Any]]:
    """The results of the cells, running those that have none yet."""
    results = []
    with progress_bar(total=len(wanted), unit="cell", desc="sweep") as bar:
        for settings in wanted:
            name = f"{settings.dataset}-{settings.method}-K{settings.num_particles}"
            config = dataclasses.asdict(settings)
            with start(root / "cells" / name, config, resume=True, may_change=MAY_CHANGE) as run:
                result = run_to_result(settings, run, stop)
            results.append(config | result)
            value = result["test_log_likelihood"]
            bar.write(f"{name:40s} test {value:9.2f} nats  {result['seconds']:7.1f} s")
            bar.update()
    return results


def main() -> None:
    """Run the sweep and write its report."""
    if FLAGS.run_dir is None:
        raise InputError("--run_dir is missing: name a folder, as --run_dir=runs/rem")
    scale = look_up(SCALES, "scale", FLAGS.scale)
    wanted = list(cells(scale))
    root = Path(FLAGS.run_dir)
    _require_ours(root)
    for settings in {settings.dataset: settings for settings in wanted}.values():
        build(settings)  # what cannot be is refused before hours of work
    with stop_on_signal() as stop:
        try:
            results = run_cells(root, wanted, stop)
        except Stopped:
            print(f"stopped by {stop.signal_name}; the same command goes on")
            return
    print(write_report(root, results, scale.settings["num_particles"]))
    print(f"\nwhat differs in the settings is in {root}/table.md; the pictures are beside it")


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
