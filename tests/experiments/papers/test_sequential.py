"""The command of state-space models."""

import json
import os

import pytest

from experiments import sequential as command
from experiments.papers import sequential
from experiments.papers.sequential_tasks import linear


@pytest.mark.exhaustive
def test_command(run_binary, tmp_path, monkeypatch):
    scale = sequential.SCALES["smoke"]._replace(
        tasks={"linear": lambda _: linear(10, 3)}, updates=2, records=2, batch_size=10, judges=5
    )
    monkeypatch.setitem(sequential.SCALES, "smoke", scale)
    out = tmp_path / "report"
    done = run_binary(command, "--scale=smoke", f"--run_dir={out}", "--tasks=linear", "--seeds=2")
    assert (done.code, done.stderr) == (0, "")
    assert set(os.listdir(out)) == {"table.md", "table.png", "picture.png", "rows.json"}
    rows = json.loads((out / "rows.json").read_text())
    assert [row["method"] for row in rows["rows"]] == ["iwae", "fivo", "rws", "rem"]
    assert [row["K"] for row in rows["rows"]] == [4, 4, 4, 2]
    assert all(row["below the best"] > 0.0 for row in rows["rows"])
    table = (out / "table.md").read_text()
    assert table.strip() in done.stdout
    assert max(map(len, table.splitlines())) <= 110


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--run_dir is missing"),
        (("--run_dir=DIR", "--scale=huge"), "--scale=huge is not known"),
        (("--run_dir=DIR", "--tasks=liner"), "--tasks=liner is not known: use one of linear"),
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
