"""The IWAE paper's protocol: its cells, the continued runs of Table 2, its report."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments import iwae as command
from experiments import rem, review
from experiments.papers import iwae
from experiments.papers.claims import verdict
from experiments.papers.protocol import Claim, Plan


def _cells(scale, preset="iwae_paper"):
    plan = Plan(Path("DIR"), iwae.SCALES[scale], preset)
    return {cell.name: cell.settings for cell in iwae.cells(plan)}


def test_full_scale_is_the_paper():
    cells = _cells("full")
    assert len(cells) == 3 * 2 * 5 + 2 + 3
    for name, cell in cells.items():
        assert (cell.batch_size, cell.eval_num_particles, cell.eval_size) == (20, 5000, 0)
        assert (cell.train_size, cell.keep, cell.adam_b1) == (None, None, 0.9)
        if cell.init_from is None:
            assert (cell.epochs, cell.learning_rate, cell.schedule) == (3280, 1e-3, "burda"), name
    deep = cells["omniglot-2-iwae-k50"]
    assert deep.latent_sizes == (100, 50)
    assert deep.hidden_sizes == ((200, 200), (100, 100))
    second = cells["mnist-vae-then-iwae"]
    assert second.init_from == "DIR/cells/mnist-1-vae-k1"
    assert (second.method, second.num_particles) == ("iwae", 50)
    assert (second.epochs, second.schedule) == (2187, "constant")
    assert second.learning_rate == pytest.approx(1e-4)
    assert cells["mnist-iwae-then-vae"].init_from == "DIR/cells/mnist-1-iwae-k50"
    # Nobody starts from a cell that comes later.
    assert list(cells).index("mnist-1-iwae-k50") < list(cells).index("mnist-iwae-then-vae")


def test_release_is_the_code():
    cells = _cells("full", "iwae_release")
    for cell in cells.values():
        assert (cell.adam_b1, cell.adam_initial_nu, cell.epsilon_hat) == (0.99, 0.0025, True)
        assert (cell.split, cell.order, cell.eval_activity) == (
            "iwae_release",
            "as_stored",
            "iwae_release",
        )
    assert cells["mnist-1-vae-k1"].schedule == "burda_rounded"
    smoke = _cells("smoke", "iwae_release")
    assert {cell.split for cell in smoke.values()} == {"published"}


def test_figures_of_the_paper_are_those_of_its_cells():
    cells = iwae.cells(Plan(Path("DIR"), iwae.SCALES["full"], "iwae_paper"))
    tabled = [cell.place for cell in cells if cell.place[1] != "two latents"]
    assert sorted(tabled) == sorted(iwae.FIGURES)
    # The first and the last row of Table 1, the last of Table 3 (Burda et al. 2015).
    assert iwae.FIGURES["mnist", 1, "vae", 1] == (86.76, "19")
    assert iwae.FIGURES["mnist", 2, "iwae", 50] == (82.90, "26+7")
    assert iwae.FIGURES["omniglot", 2, "iwae", 50] == (103.38, "44+7")
    assert iwae.FIGURES["binarized_mnist", 2, "vae", 50] == (87.86, "17+6")


def _of_seeds(*values):
    return {"replicas": [{"test_log_likelihood": value} for value in values]}


@pytest.mark.parametrize(
    ("better", "equal", "expected"),
    [
        ((-80.0, -81.0), False, "holds"),
        ((-84.0, -85.1), False, "fails"),
        ((-82.1, -82.9), False, "unclear"),
        ((-82.1, -82.9), True, "no difference seen"),
        ((-80.0, -81.0), True, "fails"),
        ((-80.0,), False, "unclear"),
    ],
)
def test_claims_are_judged_over_paired_seeds(better, equal, expected):
    claim = Claim("claim", "where", ("better",), ("worse",), equal)
    results = {("better",): _of_seeds(*better), ("worse",): _of_seeds(-82.0, -83.1)}
    row, count = verdict(claim, results)
    assert (row["verdict"], count) == (expected, len(better))
    pairs = np.array(better) - np.array([-82.0, -83.1])[: len(better)]
    assert row["gain"] == pytest.approx(pairs.mean())
    if len(better) > 1:
        assert row["± seeds"] == pytest.approx(np.std(pairs, ddof=1) / 2**0.5)


@pytest.fixture(scope="module")
def swept(run_binary, tmp_path_factory):
    path = tmp_path_factory.mktemp("iwae") / "sweep"
    done = run_binary(command, "--scale=smoke", f"--run_dir={path}")
    assert (done.code, done.stderr) == (0, "")
    return path, done.stdout


def _result(path, cell):
    return json.loads((path / "cells" / cell / "result.json").read_text())


def _rows(path):
    """The rows of a table, and its notes in one line."""
    _, _, header, _, *lines = path.read_text().splitlines()
    assert max(map(len, lines)) <= 110
    columns = [name.strip() for name in header.split("|")[1:-1]]
    rows = [line for line in lines if line.startswith("|")]
    cells = [map(str.strip, row.split("|")[1:-1]) for row in rows]
    notes = " ".join(" ".join(lines[len(rows) :]).split())
    return [dict(zip(columns, row, strict=True)) for row in cells], notes


@pytest.mark.exhaustive
def test_report_has_every_cell(swept):
    path, printed = swept
    for name in ("active_latents", "activity", "orderings", "posteriors", "samples", "table"):
        with Image.open(path / f"{name}.png") as image:
            assert min(image.size) > 150
    table, notes = _rows(path / "table.md")
    assert [(row["latents"], row["trained as"]) for row in table] == [
        ("5", "vae = iwae"),
        ("5", "iwae"),
        ("6+3", "iwae"),
        ("5", "vae → iwae"),
        ("5", "iwae → vae"),
        ("2", "iwae"),
    ]
    result = _result(path, "digits-2-iwae-k5")
    assert table[2]["ours"] == f"{-result['test_log_likelihood']:.2f}"
    spread = np.std([one["test_log_likelihood"] for one in result["replicas"]], ddof=1)
    assert table[2]["± seeds"] == f"{spread / 2**0.5:.2f}"
    first, stage = table[0]["note"].split(", ")[0], table[3]["note"].split(", ")
    assert f"- {first}: epochs 4 (3280)" in notes
    assert any(f"- {letter}: epochs 3 (2187)" in notes for letter in stage)
    active, _ = _rows(path / "active_latents.md")
    assert active[2]["ours"].count("+") == 1
    claims, notes = _rows(path / "orderings.md")
    assert {"iwae: k=5 above k=1", "vae after iwae lowers"} <= {row["claim"] for row in claims}
    assert "all rows: 2 seeds" in notes
    assert (path / "table.md").read_text() in printed


@pytest.mark.exhaustive
def test_continued_run_begins_where_the_other_ended(swept):
    path, _ = swept
    first = _result(path, "digits-1-vae-k1")
    metrics = (path / "cells/digits-vae-then-iwae/metrics.jsonl").read_text().splitlines()
    last = json.loads((path / "cells/digits-1-vae-k1/metrics.jsonl").read_text().splitlines()[-1])
    # Of more particles the bound is tighter from its first epoch on.
    assert json.loads(metrics[0])["log_evidence"] > last["log_evidence"]
    assert first["num_replicas"] == 2


def _files(path):
    return {file: file.stat().st_mtime_ns for file in path.rglob("*") if file.is_file()}


@pytest.mark.exhaustive
def test_finished_cells_are_left_as_they_are(swept, run_binary):
    path, printed = swept
    before = _files(path / "cells")
    done = run_binary(command, "--scale=smoke", f"--run_dir={path}")
    assert (done.code, done.stdout) == (0, printed)
    assert _files(path / "cells") == before


@pytest.mark.exhaustive
@pytest.mark.parametrize("binary", [rem, review])
def test_folder_of_another_sweep_is_refused(swept, run_binary, binary):
    path, _ = swept
    done = run_binary(binary, "--scale=smoke", f"--run_dir={path}")
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "holds the sweep of experiments.iwae, not of experiments." in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scale=tiny"], "--scale=tiny is not known: use one of full"),
        (["--preset=rem_paper"], "--preset=rem_paper is not known: use one of iwae_paper"),
        (["--datasets=digit"], "--dataset=digit is not known: use one of digits"),
        (["--seeds=0"], "--seeds=0 cannot be: give a positive number"),
    ],
)
def test_bad_input(run_binary, tmp_path, arguments, words):
    done = run_binary(command, "--scale=smoke", f"--run_dir={tmp_path}/new", *arguments)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert words in done.stderr
    assert not (tmp_path / "new").exists()
