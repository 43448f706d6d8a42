"""The review's protocol: its figures, its fair comparison, its report."""

import dataclasses
import json
from pathlib import Path

import pytest
from PIL import Image

from experiments import review as command
from experiments.papers import review, review_settings
from experiments.papers.protocol import Outcome, Plan
from experiments.papers.sweep import unique
from experiments.run.methods import particles_scored
from experiments.run.problem import build


def _cells(scale):
    return list(review.cells(Plan(Path("DIR"), review_settings.SCALES[scale], "review")))


def test_full_scale_has_every_figure():
    cells = _cells("full")
    assert list(dict.fromkeys(cell.place[0] for cell in cells)) == list(review.AXES)
    by_figure = {}
    for cell in cells:
        by_figure.setdefault(cell.place[0], []).append(cell.settings)
    assert {s.optimizer for s in by_figure["5"]} == {"sgd", "adagrad", "rmsprop"}
    assert [s.latent_size for s in by_figure["6"]] == ["50", "100", "200", "500"]
    assert {len(s.latent_sizes) for s in by_figure["8"]} == {1, 2}
    assert {s.num_particles for s in by_figure["8"]} == {1, 5, 50}
    (rws,) = by_figure["9"]
    assert (rws.batch_size, rws.num_particles, len(rws.latent_sizes)) == (25, 5, 3)
    assert (rws.dataset, rws.optimizer) == ("binarized_mnist", "momentum")
    assert rws.dream_share == 0.5
    assert {s.baseline_size for s in by_figure["5"]} == {400}
    aevb, nvil, rws = by_figure["11"]
    assert (aevb.latent_size, aevb.learning_rate, aevb.batch_size) == ("100", 0.01, 100)
    assert (nvil.latent_size, nvil.hidden_size, nvil.optimizer) == ("500", "400", "sgd")
    assert (nvil.learning_rate, rws.num_particles) == (1e-3, 100)


@pytest.mark.parametrize("scale", ["full", "cpu", "smoke"])
@pytest.mark.parametrize("kind", ["gaussian", "bits"])
def test_fair_comparison_differs_in_the_method_alone(scale, kind):
    cells = [cell for cell in _cells(scale) if cell.place[0] == f"11_fair_{kind}"]
    alike = {
        tuple(
            getattr(cell.settings, name)
            for name in vars(cell.settings)
            if name not in ("method", "num_particles", "covariance")  # which REM alone has
        )
        for cell in cells
    }
    assert len(alike) == 1
    assert len(cells) > 1
    for cell in cells:
        small = {"latent_size": "2", "hidden_size": "4", "dataset": "digits", "train_size": None}
        estimator = build(dataclasses.replace(cell.settings, **small)).estimator
        assert particles_scored(estimator, 64) == review_settings.FAIR_PASSES
    assert cells[0].settings.num_replicas > 1


def test_runs_have_names_of_their_own():
    for scale in review_settings.SCALES:
        cells = _cells(scale)
        runs = unique(cells)
        assert len({cell.name for cell in runs}) == len(runs) < len(cells)


@pytest.fixture(scope="module")
def swept(run_binary, tmp_path_factory):
    path = tmp_path_factory.mktemp("review") / "sweep"
    figures = "--figures=4,5,11_fair_bits"
    done = run_binary(command, "--scale=smoke", figures, f"--run_dir={path}")
    assert (done.code, done.stderr) == (0, "")
    return path, done.stdout


@pytest.mark.exhaustive
def test_report_has_every_cell(swept):
    path, printed = swept
    for name in ("figure_4", "figure_5", "figure_11_fair_bits", "table", "orderings"):
        with Image.open(path / f"{name}.png") as image:
            assert min(image.size) > 150
    assert not (path / "figure_2.png").exists()
    text = (path / "table.md").read_text()
    assert max(map(len, text.splitlines())) <= 110
    header, _, *rows = [line for line in text.splitlines() if line.startswith("|")]
    columns = [name.strip() for name in header.split("|")[1:-1]]
    table = [dict(zip(columns, map(str.strip, row.split("|")[1:-1]), strict=True)) for row in rows]
    assert [(row["figure"], row["line"], row["value"]) for row in table] == [
        ("4", "AEVB", "1"),
        ("5", "NVIL", "sgd"),
        ("5", "NVIL", "rmsprop"),
        ("11 fair", "nvil", "bits"),
        ("11 fair", "rem_v1", "bits"),
    ]
    assert "paper" not in columns  # it has curves and no numbers
    (line,) = [line for line in text.splitlines() if "one decoder" in line]
    assert line[2] in table[-1]["note"].split(", ")
    assert len(list((path / "cells").iterdir())) == 5
    assert "NVIL: rmsprop above sgd" in (path / "orderings.md").read_text()
    assert text in printed


@pytest.mark.exhaustive
def test_curves_are_those_of_the_test_images(swept):
    path, _ = swept
    (folder,) = (path / "cells").glob("figure_4*")
    (cell,) = [cell for cell in _cells("smoke") if cell.place[0] == "4"]
    result = json.loads((folder / "result.json").read_text())
    curve = review.curve(Outcome(cell, result, folder))
    assert [epoch for epoch, _, _ in curve] == [2, 4]
    assert curve[-1][1] == pytest.approx(result["test_log_likelihood"], abs=1e-3)
    assert curve[-1][2] == pytest.approx(result["test_log_likelihood_std"] / 2**0.5, rel=0.01)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scale=tiny"], "--scale=tiny is not known: use one of full"),
        (["--figures=12"], "--figures=12 is not known: use one of"),
        (["--preset=iwae_paper"], "--preset=iwae_paper is not known: use one of review"),
    ],
)
def test_bad_input(run_binary, tmp_path, arguments, words):
    done = run_binary(command, "--scale=smoke", f"--run_dir={tmp_path}/new", *arguments)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert words in done.stderr
    assert not (tmp_path / "new").exists()
