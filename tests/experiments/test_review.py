"""The review's protocol: its figures, its fair comparison, its report."""

import dataclasses
import json

import pytest
from absl import flags
from PIL import Image

from experiments import review
from experiments import review_report
from experiments import review_scales
from experiments.papers import sweep
from experiments.run.methods import particles_scored
from experiments.run.problem import build


def _points(defined_flags, *arguments):
    with defined_flags(review):
        flags.FLAGS(["review", *arguments])
        return list(review.points(review_scales.SCALES[flags.FLAGS.scale]))


def test_full_scale_has_every_figure(defined_flags):
    points = _points(defined_flags, "--scale=full")
    assert list(dict.fromkeys(point.figure for point in points)) == list(review_report.FIGURES)
    by_figure = {}
    for point in points:
        by_figure.setdefault(point.figure, []).append(point.settings)
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
def test_fair_comparison_differs_in_the_method_alone(defined_flags, scale, kind):
    points = [
        point
        for point in _points(defined_flags, f"--scale={scale}")
        if point.figure == f"11_fair_{kind}"
    ]
    alike = {
        tuple(
            getattr(point.settings, name)
            for name in vars(point.settings)
            if name not in ("method", "num_particles")
        )
        for point in points
    }
    assert len(alike) == 1
    assert len(points) > 1
    for point in points:
        small = {"latent_size": "2", "hidden_size": "4", "dataset": "digits", "train_size": None}
        estimator = build(dataclasses.replace(point.settings, **small)).estimator
        assert particles_scored(estimator, 64) == review_scales.FAIR_PASSES
    assert points[0].settings.num_replicas > 1


def test_runs_have_names_of_their_own(defined_flags):
    for scale in review_scales.SCALES:
        points = _points(defined_flags, f"--scale={scale}")
        cells = sweeps.unique(sweeps.Cell(point.name, point.settings) for point in points)
        assert len({cell.name for cell in cells}) == len(cells) < len(points)


@pytest.fixture(scope="module")
def swept(run_binary, tmp_path_factory):
    path = tmp_path_factory.mktemp("review") / "sweep"
    figures = "--figures=4,5,11_fair_bits"
    done = run_binary(review, "--scale=smoke", figures, f"--run_dir={path}")
    assert (done.code, done.stderr) == (0, "")
    return path, done.stdout


def test_report_has_every_point(swept):
    path, told = swept
    for name in ("figure_4", "figure_5", "figure_11_fair_bits", "table", "orderings"):
        with Image.open(path / f"{name}.png") as image:
            assert min(image.size) > 150
    assert not (path / "figure_2.png").exists()
    header, _, *rows = (path / "table.md").read_text().splitlines()
    columns = [name.strip() for name in header.split("|")[1:-1]]
    table = [dict(zip(columns, map(str.strip, row.split("|")[1:-1]), strict=True)) for row in rows]
    assert [(row["figure"], row["line"], row["value"]) for row in table] == [
        ("4", "AEVB", "1"),
        ("5", "NVIL", "sgd"),
        ("5", "NVIL", "rmsprop"),
        ("11_fair_bits", "nvil", "fair"),
        ("11_fair_bits", "rem_v1_bernoulli", "fair"),
    ]
    assert {row["paper"] for row in table} == {"-"}
    assert "one decoder" in table[-1]["what differs in the setting"]
    assert len(list((path / "cells").iterdir())) == 5
    assert "NVIL: rmsprop above sgd" in (path / "orderings.md").read_text()
    assert rows[0][:60] in told


def test_curves_are_those_of_the_test_images(swept):
    path, _ = swept
    (cell,) = (path / "cells").glob("figure_4*")
    result = json.loads((cell / "result.json").read_text()) | {"cell": cell.name}
    curve = review_report._curve(path, result)
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
    done = run_binary(review, "--scale=smoke", f"--run_dir={tmp_path}/new", *arguments)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert words in done.stderr
    assert not (tmp_path / "new").exists()
