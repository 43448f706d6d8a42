"""The directory of a run survives kills and refuses, in one line, what would spoil the run."""

import json
import math
import os
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from experiments.run import run_directory
from remjax.errors import InputError

CONFIG = {"method": "rem_v1", "num_particles": 50, "learning_rate": 1e-3, "data_dir": None}
_ROOT = Path(__file__).parents[3]


def test_clock_of_a_stop_within_an_epoch(tmp_path):
    with run_directory.start(tmp_path / "run", CONFIG) as run:
        assert run.seconds_until(0) == 0.0
        run.log({"epoch": 1, "seconds": 5.0})
        run.keep_time(4, 5.0)
        run.keep_time(6, 7.5)
        assert run.seconds_until(6) == 7.5
        assert run.seconds_until(4) == 5.0  # killed before the checkpoint of step 6 was there


def _begin(path, epochs=3):
    with run_directory.start(path, CONFIG) as run:
        for epoch in range(1, epochs + 1):
            run.log({"epoch": epoch, "ess": 10.0 + epoch})


def _scalars(directory):
    """What TensorBoard shows: the scalars of all files, but those that a later start withdraws."""
    shown = []
    for file in sorted(directory.iterdir()):
        content = file.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            event = Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]
            if event.HasField("session_log"):
                shown = [scalar for scalar in shown if scalar[0] < event.step]
            shown += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
    return shown


def test_new_run_writes_what_it_promises(tmp_path):
    with run_directory.start(tmp_path / "deep" / "run", CONFIG) as run:
        assert not run.resumed
        run.log({"epoch": 1, "ess": 3.5, "test_log_likelihood": None})
        run.log({"epoch": 2, "ess": math.nan, "skipped_updates": np.int32(4)})
        run.update_result({"ess": np.float32(0.5), "seconds": jnp.float32(2)})
        run.update_result({"seconds": 3, "stderr": math.inf})
        assert run.picture("samples.png").parent.is_dir()
        assert run.checkpoints == run.path / "checkpoints"
    path = tmp_path / "deep" / "run"
    assert json.loads((path / "config.json").read_text()) == CONFIG
    assert (path / "metrics.jsonl").read_text() == (
        '{"epoch": 1, "ess": 3.5, "test_log_likelihood": null}\n'
        '{"epoch": 2, "ess": null, "skipped_updates": 4}\n'
    )
    result = json.loads((path / "result.json").read_text())
    assert result == {"ess": 0.5, "seconds": 3, "stderr": None}
    assert _scalars(path / "tensorboard") == [(1, "ess", 3.5), (2, "skipped_updates", 4.0)]


def test_resumed_run_forgets_the_epochs_after_its_checkpoint(tmp_path):
    _begin(tmp_path)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 4, "es')  # a kill in the middle of a line
    with run_directory.start(tmp_path, CONFIG, resume=True) as run:
        assert run.resumed
        assert [row["epoch"] for row in run.metrics()] == [1, 2, 3]
        run.rewind(1)
        run.log({"epoch": 2, "ess": 20.0})
        assert run.metrics() == [{"epoch": 1, "ess": 11.0}, {"epoch": 2, "ess": 20.0}]
    assert _scalars(tmp_path / "tensorboard") == [(1, "ess", 11.0), (2, "ess", 20.0)]


def test_resume_where_nothing_is_starts_afresh(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".lock").touch()  # all that a process killed at its start leaves
    for name in ("missing", "empty"):
        with run_directory.start(tmp_path / name, CONFIG, resume=True) as run:
            assert not run.resumed
            run.rewind(0)
            assert run.metrics() == []
            assert run.config() == CONFIG


def test_run_that_is_there_is_not_overwritten(tmp_path):
    _begin(tmp_path)
    with pytest.raises(InputError, match="holds a run: choose another --run_dir or add --resume"):
        run_directory.start(tmp_path, CONFIG)
    with run_directory.reopen(tmp_path) as run:  # the refused start left no lock
        assert len(run.metrics()) == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_particles": 100}, "--num_particles=50, which cannot go on with --num_particles=100"),
        ({"keep": 5}, "with no --keep, which cannot go on with --keep=5"),
        ({"learning_rate": 2e-3, "data_dir": "x"}, "--learning_rate=0.001, which cannot go on"),
    ],
)
def test_changed_configuration_is_named(tmp_path, change, words):
    _begin(tmp_path)
    with pytest.raises(InputError, match=words) as error:
        run_directory.start(tmp_path, CONFIG | change, resume=True, may_change=["data_dir"])
    assert "\n" not in str(error.value)
    assert "again, or choose another --run_dir" in str(error.value)
    assert json.loads((tmp_path / "config.json").read_text()) == CONFIG


def test_some_flags_may_change(tmp_path):
    _begin(tmp_path)
    moved = CONFIG | {"data_dir": Path("/elsewhere")}
    with run_directory.start(tmp_path, moved, resume=True, may_change=["data_dir"]) as run:
        assert run.config() == CONFIG | {"data_dir": "/elsewhere"}


def test_other_files_are_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(InputError, match=r"holds thesis\.tex but no run: choose another --run_dir"):
        run_directory.start(tmp_path, CONFIG, resume=True)
    with pytest.raises(InputError, match="is a file: choose another --run_dir"):
        run_directory.start(tmp_path / "thesis.tex", CONFIG)
    with pytest.raises(InputError, match="holds no run: give a --run_dir"):
        run_directory.reopen(tmp_path)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_one_process_at_a_time_and_a_kill_frees_the_directory(tmp_path):
    script = """
        import sys, time
        from experiments.run import run_directory
        run = run_directory.start(sys.argv[1], {"method": "rem_v1"})
        print("ready", flush=True)
        time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with pytest.raises(InputError, match=r"another process is using .*: wait for its end, or"):
            run_directory.start(tmp_path, {"method": "rem_v1"}, resume=True)
        process.kill()
    with run_directory.start(tmp_path, {"method": "rem_v1"}, resume=True) as run:
        assert run.resumed


def test_full_disk_is_one_line_and_spoils_nothing(tmp_path):
    # A limit on the size of files stands in for the disk: it fails in the same system call.
    script = """
        import resource, sys
        from experiments.run import run_directory
        with run_directory.start(sys.argv[1], {"method": "rem_v1"}) as run:
            run.log({"epoch": 1, "ess": 2.0})
            run.update_result({"seconds": 1})
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
            for attempt in (
                lambda: run.update_result({"long": "x" * 200}),
                lambda: run.log({"epoch": 2, "long": "x" * 200}),
            ):
                try:
                    attempt()
                except run_directory.InputError as error:
                    print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.count("File too large; free some space there") == 2
    assert done.stdout.count("\n") == 2
    with run_directory.reopen(tmp_path) as run:
        assert run.result() == {"seconds": 1}
        assert run.metrics() == [{"epoch": 1, "ess": 2.0}]
    assert not list(tmp_path.glob(".*partial*"))


def test_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*Not a directory; free some space there"):
        run_directory.start(tmp_path / "file" / "run", CONFIG)


def test_damaged_files_are_named(tmp_path):
    _begin(tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1}\n{"epo\n{"epoch": 3}\n')
    with run_directory.reopen(tmp_path) as run:
        with pytest.raises(InputError, match=r"metrics.jsonl: .*; remove the damaged line"):
            run.metrics()
        for damage, words in ((b'{"epoch": 1}\n3\n', "line 2 is no epoch"), (b"\xff\n", "remove")):
            (tmp_path / "metrics.jsonl").write_bytes(damage)
            with pytest.raises(InputError, match=words):
                run.metrics()
        (tmp_path / "result.json").write_text("[]")
        with pytest.raises(InputError, match=r"result.json is not a JSON object"):
            run.result()
    (tmp_path / "config.json").write_text('{"method"')
    with pytest.raises(InputError, match=r"cannot read .*config.json"):
        run_directory.start(tmp_path, CONFIG, resume=True)
