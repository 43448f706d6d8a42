"""Several runs in one table and one picture."""

import json
import shutil

import numpy as np
import pytest

from experiments import compare
from experiments.pictures.latents import principal_components


@pytest.fixture
def two_runs(finished, tmp_path):
    """A run, and the same with another rate and other figures."""
    first, second = tmp_path / "first", tmp_path / "second"
    for path in (first, second):
        shutil.copytree(finished, path)
    config = json.loads((second / "config.json").read_text())
    (second / "config.json").write_text(json.dumps(config | {"learning_rate": 0.5}))
    result = json.loads((second / "result.json").read_text())
    (second / "result.json").write_text(json.dumps(result | {"test_log_likelihood": -12.5}))
    return first, second


def test_what_differs_and_what_was_reached(run_binary, two_runs, tmp_path):
    first, second = two_runs
    picture = tmp_path / "curves.png"
    done = run_binary(compare, str(first), str(second), f"--out={picture}")
    assert (done.code, done.stderr) == (0, "")
    header, _, *rows = done.stdout.splitlines()
    assert header.split()[1:4] == ["run", "|", "learning_rate"]
    assert "epochs" not in header
    cells = [dict(zip(header.split("|"), row.split("|"), strict=True)) for row in rows[:2]]
    cells = [{name.strip(): cell.strip() for name, cell in row.items()} for row in cells]
    assert [row["learning_rate"] for row in cells] == ["0.003", "0.5"]
    assert cells[1]["test_log_likelihood"] == "-12.50"
    assert picture.stat().st_size > 1000


def test_runs_are_only_read(run_binary, two_runs):
    """Also while another process has them, and before they have a result."""
    first, second = two_runs
    (second / "result.json").unlink()
    before = {path: path.stat().st_mtime_ns for path in first.rglob("*")}
    done = run_binary(compare, str(first), str(second))
    assert done.code == 0, done
    assert {path: path.stat().st_mtime_ns for path in first.rglob("*")} == before


@pytest.mark.parametrize(
    ("dirs", "words"),
    [
        ("", "too few runs to compare: name two folders or more"),
        ("{first}", "too few runs to compare"),
        ("{first} {first}/", "is named twice"),
        ("{first} {first}/pictures", "holds no run: give folders that experiments.train made"),
    ],
)
def test_refusals(run_binary, two_runs, dirs, words):
    done = run_binary(compare, *dirs.format(first=two_runs[0]).split())
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert words in done.stderr


def test_principal_components_are_those_of_the_covariance():
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(500, 4)) @ np.diag([3.0, 2.0, 0.5, 0.1]) @ rng.normal(size=(4, 4))
    points, share = principal_components(codes)
    values = np.linalg.eigvalsh(np.cov(codes.T))[::-1]
    np.testing.assert_allclose(points.var(axis=0, ddof=1), values[:2], rtol=1e-6)
    np.testing.assert_allclose(share, values[:2].sum() / values.sum(), rtol=1e-6)
    np.testing.assert_array_equal(principal_components(codes[:, :1])[0][:, 1], 0.0)
