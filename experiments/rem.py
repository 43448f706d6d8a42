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
from tqdm import tqdm

from experiments import command_line
from experiments.comparisons import kl_against_particles, method_comparison, table_picture
from experiments.files import replacing
from experiments.fitting import Stopped
from experiments.methods import accepts, look_up
from experiments.presets import PRESETS, released
from experiments.run_directory import start
from experiments.runs import run_to_result
from experiments.settings import MAY_CHANGE, Settings
from experiments.stopping import StopRequest, stop_on_signal
from experiments.tables import markdown, shown
from remjax.errors import InputError

FLAGS = flags.FLAGS
flags.DEFINE_string("run_dir", None, "folder of the sweep; one that is there goes on")
flags.DEFINE_string("data_dir", None, "folder of the data files; default as experiments.train")
flags.DEFINE_string("scale", "cpu", "smoke (a minute), cpu (an hour on 2 cores) or full (a GPU)")
flags.DEFINE_string("preset", "rem_paper", "rem_paper (the text) or rem_release (the code)")
flags.DEFINE_list("datasets", None, "data sets; default those of the scale")
flags.DEFINE_list("methods", None, "methods; default those of the scale")

ALL_METHODS = ("vae", "iwae", "rws", "rem_v1", "rem_v2", "rem_mixture")
# Methods of Figure 2.
KL_METHODS = ("vae", "iwae", "rem_v1")

# Negative log-likelihoods of Table 2, nats per image: (data set, method) -> (train, test).
PAPER: Mapping[tuple[str, str], tuple[float, float]] = {
    ("binarized_mnist", "rem_v1"): (87.77, 87.91),
    ("mnist", "rem_v1"): (88.68, 88.95),
    ("omniglot", "rem_v1"): (109.84, 113.94),
    ("binarized_mnist", "rem_v2"): (87.84, 87.99),
    ("mnist", "rem_v2"): (88.58, 88.92),
    ("omniglot", "rem_v2"): (110.63, 114.73),
}
# The paper's settings, by which "what differs" is told.
PAPER_SETTINGS: Mapping[str, Any] = {
    "epochs": 200,
    "num_particles": 1000,
    "batch_size": 20,
    "train_size": None,
    "keep": None,
    "eval_num_particles": 1000,
    "eval_size": 0,
    "schedule": "burda",
}


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
            "hidden_size": 20,
            "latent_size": 5,
            "eval_num_particles": 50,
            "eval_size": 50,
        },
        ("digits",),
        ("iwae", "rem_v1"),
        (2,),
    ),
}


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
        name = released(method) if FLAGS.preset == "rem_release" else method
        chosen = {"data_dir": FLAGS.data_dir} | dict(preset) | dict(scale.settings) | extra
        if FLAGS.preset == "rem_release" and dataset == "binarized_mnist":
            chosen["split"] = "rem_release"
        # What a method does not have is left out; no more can be kept than there are.
        chosen = {key: value for key, value in chosen.items() if _has(name, key)}
        if chosen.get("keep"):
            chosen["keep"] = min(chosen["keep"], chosen["num_particles"])
        settings = Settings.from_mapping(chosen | {"dataset": dataset, "method": name})
        if settings not in seen:
            seen.add(settings)
            yield settings


def _has(method: str, setting: str) -> bool:
    return setting not in ("keep", "covariance", "chunk_size") or accepts(method, setting)


def run_cells(root: Path, wanted: list[Settings], stop: StopRequest) -> list[dict[str, Any]]:
    """The results of the cells, running those that have none yet."""
    results = []
    with tqdm(total=len(wanted), unit="cell", desc="sweep", dynamic_ncols=True) as bar:
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


def comparison_rows(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows "paper | ours | difference | what differs", negative log-likelihoods in nats."""
    rows = []
    for result in results:
        method = result["method"].removesuffix("_leaky")
        paper = PAPER.get((result["dataset"], method), (None, None))
        for part, value in zip(("train", "test"), paper, strict=True):
            ours = -result[f"{part}_log_likelihood"]
            rows.append(
                {
                    "data set": result["dataset"],
                    "method": result["method"],
                    "part": part,
                    "paper": value,
                    "ours": ours,
                    "stderr": result[f"{part}_log_likelihood_stderr"],
                    "difference": None if value is None else ours - value,
                    "what differs in the setting": what_differs(result),
                }
            )
    return rows


def what_differs(result: Mapping[str, Any]) -> str:
    """Every setting that is not the paper's, as `name ours (paper's)`."""
    told = [
        f"{name} {result[name]} ({'all' if value is None else value})"
        for name, value in PAPER_SETTINGS.items()
        if result[name] != value and not (name == "eval_size" and result[name] is None)
    ]
    if result["method"] in ("rem_v1", "rem_v2") and result["covariance"] is None:
        told.append("covariance shrunk (weighted)")
    if result["eval_proposal"] == "recognition":
        told.append("evaluated with r (unknown; the code: two-stage)")
    if result["dataset"] == "binarized_mnist" and result["split"] == "published":
        told.append("official test file (the code: validation file, trained on)")
    if "PNGs" in result["source"]:
        told.append("OMNIGLOT from resized PNGs (chardata.mat)")
    if result["dataset"] == "digits":
        told.append("digits 8x8, not in the paper")
    return "; ".join(told) or "nothing"


def write_report(root: Path, results: list[dict[str, Any]], num_particles: int) -> str:
    """The table and the pictures of a finished sweep; returns the table."""
    main_cells = [result for result in results if result["num_particles"] == num_particles]
    rows = comparison_rows(main_cells)
    columns = list(rows[0])
    text = markdown(rows, columns)
    with replacing(root / "table.md") as path:
        path.write_text(text + "\n", encoding="utf-8")
    short = columns[:-1]
    text_rows = [[shown(row[column]) for column in short] for row in rows]
    title = "Negative log-likelihood, nats per image"
    table_picture(root / "table.png", short, text_rows, title=title)
    method_comparison(root / "log_likelihoods.png", _by_dataset(main_cells))
    lines: dict[str, dict[int, float]] = {}
    for result in results:
        drawn = result["method"].removesuffix("_leaky") in KL_METHODS
        if drawn and result["dataset"] == results[-1]["dataset"]:
            points = lines.setdefault(result["method"], {})
            points[result["num_particles"]] = result["kl_to_prior"]
    kl_against_particles(root / "kl_against_particles.png", lines)
    return text


def _by_dataset(results: list[dict[str, Any]]) -> dict[str, dict[str, tuple[float, float]]]:
    values: dict[str, dict[str, tuple[float, float]]] = {}
    for result in results:
        values.setdefault(result["dataset"], {})[result["method"]] = (
            result["test_log_likelihood"],
            result["test_log_likelihood_stderr"],
        )
    return values


def main() -> None:
    """Run the sweep and write its report."""
    if FLAGS.run_dir is None:
        raise InputError("--run_dir is missing: name a folder, as --run_dir=runs/rem")
    scale = look_up(SCALES, "scale", FLAGS.scale)
    wanted = list(cells(scale))
    root = Path(FLAGS.run_dir)
    with stop_on_signal() as stop:
        try:
            results = run_cells(root, wanted, stop)
        except Stopped:
            print(f"stopped by {stop.signal_name}; the same command goes on")
            return
    print(write_report(root, results, scale.settings["num_particles"]))
    print(f"\ntable.md and the pictures are in {root}")


if __name__ == "__main__":
    command_line.run(main)
