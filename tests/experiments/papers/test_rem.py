"""The REM paper's protocol: its cells, a sweep that goes on cell by cell, its report."""

import dataclasses
import json
import math
import os
import signal
from pathlib import Path

import pytest
from PIL import Image

from experiments import rem as command
from experiments.papers import rem
from experiments.papers.protocol import Cell, Outcome, Plan, Scale
from experiments.papers.report import comparison_table, differences, write_report
from experiments.papers.sweep import unique
from experiments.run import fitting
from experiments.run.settings import Settings


def _plan(root):
    return Plan(root, rem.SCALES["smoke"], "rem_paper")


def _cells(scale, preset="rem_paper"):
    plan = Plan(Path("DIR"), rem.SCALES[scale], preset)
    return [cell.settings for cell in unique(rem.cells(plan))]


def test_full_scale_is_the_paper():
    cells = _cells("full")
    table = [cell for cell in cells if cell.num_particles == 1000]
    assert len(table) == 21
    assert {cell.dataset for cell in table} == {"binarized_mnist", "mnist", "omniglot"}
    assert len(cells) == 21 + 9
    assert {cell.num_particles for cell in cells if cell.method == "rem_v1"} == {1, 10, 100, 1000}
    for cell in cells:
        assert (cell.epochs, cell.batch_size, cell.schedule) == (200, 20, "burda")
        assert (cell.latent_size, cell.hidden_size, cell.learning_rate) == ("20", "200", 1e-3)
        assert (cell.eval_num_particles, cell.eval_size) == (1000, 0)
        assert (cell.eval_proposal, cell.keep, cell.train_size) == ("recognition", None, None)


def test_release_is_the_code():
    cells = _cells("full", "rem_release")
    (v1,) = [
        cell
        for cell in cells
        if cell.dataset == "binarized_mnist" and cell.method == "rem_v1_leaky"
    ]
    assert not [cell for cell in cells if cell.method == "rem_v1"]
    assert v1.covariance == "unweighted_with_ridge"
    assert (v1.schedule, v1.epsilon_hat, v1.eval_proposal) == ("constant", True, "two_stage")
    # A loss summed over 20 images is the mean loss with a twentieth of epsilon.
    assert v1.adam_epsilon == pytest.approx(1e-4 / v1.batch_size)
    assert {cell.dataset: cell.split for cell in cells} == {
        "binarized_mnist": "rem_release",
        "mnist": "published",
        "omniglot": "published",
    }
    assert {cell.covariance for cell in cells if cell.method in ("vae", "iwae", "rws")} == {None}


def test_no_more_is_kept_than_there_is():
    cells = _cells("cpu")
    assert {cell.keep for cell in cells if cell.num_particles == 5} == {None}
    assert {cell.keep for cell in cells if cell.method == "rem_v2"} == {16}


def test_figures_of_the_paper():
    # Table 2 of Dieng & Paisley 2019, row by row: fixed MNIST, stochastic MNIST, OMNIGLOT.
    rows = {
        "rem_v1": (87.77, 87.91, 88.68, 88.95, 109.84, 113.94),
        "rem_v2": (87.84, 87.99, 88.58, 88.92, 110.63, 114.73),
    }
    datasets = rem.SCALES["full"].values["datasets"]
    for method, row in rows.items():
        assert sum((rem.PAPER[dataset, method] for dataset in datasets), ()) == row
    assert len(rem.PAPER) == 6


# The paper's settings, as far as they are known.
_PAPER = Settings(
    method="rem_v1",
    dataset="mnist",
    epochs=200,
    num_particles=1000,
    batch_size=20,
    eval_num_particles=1000,
    eval_size=0,
    covariance="weighted",
    eval_proposal="two_stage",
    mean_output=False,
    centred_input=False,
)


def _outcome(place=("mnist", "rem_v1"), **changes):
    settings = dataclasses.replace(_PAPER, **changes)
    cell = Cell(
        place,
        "name",
        settings,
        {"data set": settings.dataset, "method": settings.method},
        rem.STATED,
        tuple(rem.remarks(settings)),
    )
    result = {
        "source": "",
        "train_log_likelihood": -88.0,
        "test_log_likelihood": -89.0,
        "train_log_likelihood_stderr": 0.1,
        "test_log_likelihood_stderr": 0.2,
        "kl_to_prior": 20.0,
    }
    return Outcome(cell, result, Path("FOLDER"))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"eval_size": None}, []),
        ({"latent_size": "5"}, ["latent_size 5 (20)"]),
        ({"num_replicas": 3}, ["3 seeds (1)"]),
        (
            {"epochs": 12, "keep": 16, "eval_size": 500, "covariance": None},
            [
                "epochs 12 (200)",
                "keep 16 (all)",
                "eval_size 500 (all)",
                "covariance robust default (weighted)",
            ],
        ),
        (
            {"method": "rem_v2", "mean_output": True, "centred_input": True},
            [
                "eta learns from s, Algorithm 2 (from r, Table 2)",
                "the output starts at the mean image (at no bias)",
                "the input is centred (raw)",
            ],
        ),
        (
            {"dataset": "binarized_mnist", "eval_proposal": "recognition"},
            [
                "50,000 training images (60,000)",
                "evaluated with r (unknown; the code: two-stage)",
                "official test file (the code: validation file, trained on)",
            ],
        ),
    ],
)
def test_what_differs(changes, expected):
    assert differences(_outcome(**changes)) == expected


def test_difference_is_ours_minus_the_papers():
    leaky = _outcome(method="rem_v1_leaky", covariance="unweighted_with_ridge")
    iwae = _outcome(("mnist", "iwae"), method="iwae", covariance=None)
    table = comparison_table(rem.PROTOCOL, [_outcome(), leaky, iwae])
    train, test, train_leaky, _, train_iwae, _ = table.rows
    assert (train["paper"], train["ours"]) == (88.68, 88.0)
    assert train["difference"] == pytest.approx(-0.68)
    assert test["difference"] == pytest.approx(0.05)
    assert train_leaky["paper"] == 88.68
    assert "covariance unweighted_with_ridge (weighted)" in table.remarks[2]
    assert train_iwae["paper"] is train_iwae["difference"] is None


def test_report_of_a_run_that_diverged(tmp_path):
    outcome = _outcome()
    nan = {name: math.nan for name in outcome.result if name != "source"}
    write_report(rem.PROTOCOL, _plan(tmp_path), [outcome._replace(result=outcome.result | nan)])
    assert "nan" in (tmp_path / "table.md").read_text()


def test_report_without_the_methods_of_figure_2(tmp_path):
    outcome = _outcome(("mnist", "rws"), method="rws", covariance=None)
    write_report(rem.PROTOCOL, _plan(tmp_path), [outcome])
    pictures = {f"{part}_log_likelihoods.png" for part in ("train", "test")}
    assert set(os.listdir(tmp_path)) == pictures | {"table.md", "table.png"}


def _files(path):
    return {file: file.stat().st_mtime_ns for file in path.rglob("*") if file.is_file()}


@pytest.fixture
def smallest_scale(monkeypatch, tiny):
    """A sweep of two cells, the first of which is a program that is compiled already."""
    texts = ("dataset", "latent_size", "hidden_size")
    pairs = _pairs(tiny)
    settings = {name: value if name in texts else json.loads(value) for name, value in pairs}
    scale = Scale(settings, {"datasets": ("digits",), "methods": ("rem_v1",), "particles": (2,)})
    monkeypatch.setitem(rem.SCALES, "smoke", scale)


def _pairs(arguments):
    return [argument.removeprefix("--").split("=") for argument in arguments]


def test_sweep_goes_on_cell_by_cell(run_binary, tmp_path, smallest_scale):
    original = fitting._Clock.tick

    def tick(clock, steps):
        original(clock, steps)
        if len(list(tmp_path.glob("cells/*"))) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    arguments = ("--scale=smoke", f"--run_dir={tmp_path}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting._Clock, "tick", tick)
        done = run_binary(command, *arguments)
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.endswith("stopped by SIGTERM; the same command goes on\n")
    assert sorted(os.listdir(tmp_path)) == ["cells", "sweep.json"]
    first = tmp_path / "cells" / "digits-rem_v1-K4"
    before = _files(first)

    done = run_binary(command, *arguments)
    assert (done.code, done.stderr) == (0, "")
    assert _files(first) == before
    assert sorted(os.listdir(tmp_path / "cells")) == ["digits-rem_v1-K2", "digits-rem_v1-K4"]
    report = {"kl_against_particles.png", "table.md", "table.png"}
    report |= {"train_log_likelihoods.png", "test_log_likelihoods.png"}
    assert set(os.listdir(tmp_path)) == report | {"cells", "sweep.json"}
    for name in report - {"table.md"}:
        with Image.open(tmp_path / name) as image:
            assert min(image.size) > 150
    text = (tmp_path / "table.md").read_text()
    _, _, header, _, _, test, *_ = text.splitlines()
    assert [name.strip() for name in header.split("|")[1:-1]] == [
        "data set",
        "method",
        "part",
        "ours",
        "± images",
    ]
    assert "digits of 8 x 8 pixels (not in the paper)" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 110
    ours = -json.loads((first / "result.json").read_text())["test_log_likelihood"]
    assert f"{ours:.2f}" in test
    assert test[:60] in done.stdout

    before = _files(tmp_path / "cells")
    again = run_binary(command, *arguments)
    assert _files(tmp_path / "cells") == before
    assert again.stdout.count("test ") >= 2
