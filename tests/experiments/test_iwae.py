"""The IWAE paper's protocol: its cells, the continued runs of Table 2, its report."""

import json
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from PIL import Image

from experiments import iwae
from experiments import iwae_report
from experiments import rem
from experiments import review
from experiments.papers.report import Ordering, ordering_rows


def _cells(defined_flags, *arguments):
    with defined_flags(iwae):
        flags.FLAGS(["iwae", *arguments])
        return dict(iwae.cells(Path("DIR"), iwae.SCALES[flags.FLAGS.scale]))


def test_full_scale_is_the_paper(defined_flags):
    cells = _cells(defined_flags, "--scale=full")
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


def test_release_is_the_code(defined_flags):
    cells = _cells(defined_flags, "--scale=full", "--preset=iwae_release")
    for cell in cells.values():
        assert (cell.adam_b1, cell.adam_initial_nu, cell.epsilon_hat) == (0.99, 0.0025, True)
        assert (cell.split, cell.order, cell.eval_activity) == (
            "iwae_release",
            "as_stored",
            "iwae_release",
        )
    assert cells["mnist-1-vae-k1"].schedule == "burda_rounded"
    smoke = _cells(defined_flags, "--scale=smoke", "--preset=iwae_release")
    assert {cell.split for cell in smoke.values()} == {"published"}


def test_figures_of_the_paper_are_those_of_its_cells(defined_flags):
    tabled = [
        (cell.dataset, len(cell.latent_sizes), cell.method, cell.num_particles)
        for cell in _cells(defined_flags, "--scale=full").values()
        if cell.init_from is None and cell.latent_size != "2"
    ]
    assert sorted(tabled) == sorted(iwae_report.PAPER)
    # The first and the last row of Table 1, the last of Table 3 (Burda et al. 2015).
    assert iwae_report.PAPER["mnist", 1, "vae", 1] == (86.76, "19")
    assert iwae_report.PAPER["mnist", 2, "iwae", 50] == (82.90, "26+7")
    assert iwae_report.PAPER["omniglot", 2, "iwae", 50] == (103.38, "44+7")
    assert iwae_report.PAPER["binarized_mnist", 2, "vae", 50] == (87.86, "17+6")


def _of_seeds(*values):
    return {"replicas": [{"test_log_likelihood": value} for value in values]}


@pytest.mark.parametrize(
    ("better", "equal", "verdict"),
    [
        ((-80.0, -81.0), False, "holds"),
        ((-84.0, -85.1), False, "fails"),
        ((-82.1, -82.9), False, "unclear"),
        ((-82.1, -82.9), True, "no difference seen"),
        ((-80.0, -81.0), True, "fails"),
        ((-80.0,), False, "unclear"),
    ],
)
def test_orderings_are_told_over_paired_seeds(better, equal, verdict):
    claim = Ordering("claim", "where", _of_seeds(*better), _of_seeds(-82.0, -83.1), equal)
    (row,) = ordering_rows([claim])
    assert row["verdict"] == verdict
    pairs = np.array(better) - np.array([-82.0, -83.1])[: len(better)]
    assert row["gain (nats)"] == pytest.approx(pairs.mean())
    if len(better) > 1:
        assert row["stderr seeds"] == pytest.approx(np.std(pairs, ddof=1) / 2**0.5)


@pytest.fixture(scope="module")
def swept(run_binary, tmp_path_factory):
    path = tmp_path_factory.mktemp("iwae") / "sweep"
    done = run_binary(iwae, "--scale=smoke", f"--run_dir={path}")
    assert (done.code, done.stderr) == (0, "")
    return path, done.stdout


def _result(path, cell):
    return json.loads((path / "cells" / cell / "result.json").read_text())


def test_report_has_every_cell(swept):
    path, told = swept
    pictures = ("activity", "orderings", "posteriors", "samples", "table")
    for name in pictures:
        with Image.open(path / f"{name}.png") as image:
            assert min(image.size) > 150
    header, _, *rows = (path / "table.md").read_text().splitlines()
    columns = [name.strip() for name in header.split("|")[1:-1]]
    table = [dict(zip(columns, map(str.strip, row.split("|")[1:-1]), strict=True)) for row in rows]
    assert [row["trained as"] for row in table] == [
        "vae = iwae",
        "iwae",
        "iwae",
        "vae, then iwae",
        "iwae, then vae",
        "iwae",
    ]
    assert [row["table"] for row in table] == ["1"] * 3 + ["2"] * 2 + ["two latents"]
    result = _result(path, "digits-2-iwae-k5")
    assert table[2]["ours"] == f"{-result['test_log_likelihood']:.2f}"
    spread = np.std([one["test_log_likelihood"] for one in result["replicas"]], ddof=1)
    assert table[2]["stderr seeds"] == f"{spread / 2**0.5:.2f}"
    assert table[2]["active, ours"].count("+") == 1
    assert "epochs 4 (3280)" in table[0]["what differs in the setting"]
    assert "epochs 3 (2187)" in table[3]["what differs in the setting"]
    claims = (path / "orderings.md").read_text()
    assert "iwae: k=5 above k=1" in claims
    assert "vae after iwae lowers" in claims
    assert rows[0][:60] in told


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


def test_finished_cells_are_left_as_they_are(swept, run_binary):
    path, told = swept
    before = _files(path / "cells")
    done = run_binary(iwae, "--scale=smoke", f"--run_dir={path}")
    assert (done.code, done.stdout) == (0, told)
    assert _files(path / "cells") == before


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
    done = run_binary(iwae, "--scale=smoke", f"--run_dir={tmp_path}/new", *arguments)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert words in done.stderr
    assert not (tmp_path / "new").exists()
