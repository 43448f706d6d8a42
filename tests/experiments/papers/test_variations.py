"""The variations of contrastive divergence: their tasks and their command."""

import json
import os

import jax
import numpy as np
import pytest
from PIL import Image

from experiments import variations as command
from experiments.papers import variations
from experiments.papers.variations_tasks import bars_and_stripes, digits, shifter
from experiments.papers.variations_training import Length


def test_bars_and_stripes():
    task = bars_and_stripes()
    counts = np.unique(task.rows, axis=0, return_counts=True)[1]
    assert sorted(counts / counts.min()) == [1] * 12 + [2, 2]
    images = task.rows.reshape(-1, 3, 3)
    same = [(image == image[:, :1]).all() or (image == image[:1]).all() for image in images]
    assert all(same)
    # 12 images of 1/16 and two of 2/16.
    assert task.entropy == pytest.approx(12 / 16 * np.log(16) + 4 / 16 * np.log(8))


def test_shifter():
    task = shifter()
    assert len(np.unique(task.rows, axis=0)) == 24
    assert task.entropy == pytest.approx(np.log(24))
    for row in task.rows:
        (place,) = np.flatnonzero(row[6:])
        assert (np.roll(row[:3], place - 1) == row[3:6]).all()


def test_distribution_and_likelihood_of_digits():
    task = digits(num_hidden=2)
    assert task.rows.shape == (1500, 16)
    assert set(np.unique(task.rows)) == {0, 1}
    states = np.asarray(task.states)
    assert float(task.distribution.sum()) == pytest.approx(1.0, abs=1e-5)
    seen = np.asarray(task.distribution) > 0
    assert (np.unique(states[seen], axis=0) == np.unique(task.rows, axis=0)).all()
    machine = task.init(jax.random.key(3))
    w, a, b = (np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(machine)[:3])
    assert w.shape == (16, 2)
    log_p = states @ a + np.logaddexp(0, states @ w + b).sum(axis=1)
    log_p -= np.log(np.exp(log_p - log_p.max()).sum()) + log_p.max()
    expected = float(np.asarray(task.distribution, np.float64) @ log_p)
    assert float(task.log_likelihood(machine)) == pytest.approx(expected, abs=1e-4)


@pytest.fixture
def smallest_scale(monkeypatch):
    scale = variations.Scale(
        tasks={"bars": lambda: bars_and_stripes(2, 2, 1), "shifter": lambda: shifter(2, 2, 1)},
        steps=(1,),
        length=Length(rates=(0.3, 1.0), seeds=1, updates=6, records=3),
        draws=10,
    )
    monkeypatch.setitem(variations.SCALES, "smoke", scale)


def test_command(run_binary, tmp_path, smallest_scale):
    out = tmp_path / "report"
    done = run_binary(command, "--scale=smoke", f"--run_dir={out}", "--tasks=bars", "--seeds=2")
    assert (done.code, done.stderr) == (0, "")
    tables = {f"{name}.{kind}" for name in ("table", "gradients") for kind in ("md", "png")}
    assert set(os.listdir(out)) == tables | {"picture.png", "rows.json"}
    with Image.open(out / "picture.png") as image:
        assert min(image.size) > 300
    rows = json.loads((out / "rows.json").read_text())
    assert list(rows["tasks"]) == ["bars"]
    assert [row["gradient"] for row in rows["courses"]] == [
        "maximum likelihood",
        "PCD-1",
        "CD",
        "CD, exact",
        "CD+(45), exact",
        "CD+(45), sampled",
        "CD+(45), estimated",
    ]
    assert np.shape(rows["courses"][0]["log_likelihood"]) == (4, 2, 2)
    assert rows["courses"][0]["updates"] == [0, 2, 4, 6]
    # Two machines, and every arm but PCD and the exact gradient of CD.
    assert len(rows["gradients"]) == 2 * 5
    table = (out / "table.md").read_text()
    assert table.strip() in done.stdout
    assert max(map(len, table.splitlines())) <= 110
    (first,) = [line for line in table.splitlines() if "maximum likelihood" in line][:1]
    best = np.mean(rows["courses"][0]["log_likelihood"][-1], axis=1).max()
    assert f"{best:.2f}" in first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--run_dir is missing"),
        (("--run_dir=DIR", "--scale=huge"), "--scale=huge is not known"),
        (("--run_dir=DIR", "--tasks=bras"), "--tasks=bras is not known: use one of bars"),
        (("--run_dir=DIR", "--seeds=0"), "--seeds=0 cannot be: give a positive number"),
        (("--run_dir=FILE/within",), "cannot write"),
    ],
)
def test_bad_flags(run_binary, tmp_path, arguments, message):
    (tmp_path / "FILE").touch()
    flags = [
        text.replace("DIR", f"{tmp_path}/new").replace("FILE", f"{tmp_path}/FILE")
        for text in arguments
    ]
    done = run_binary(command, *flags)
    assert done.code == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == ["FILE"]
