"""A run leaves what it promises, and an interrupted one comes to the same bits."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from experiments import train
from experiments.run import fitting, training
from remjax.training import checkpoints

_ROOT = Path(__file__).parents[3]


def _result(path):
    return json.loads((path / "result.json").read_text())


def _files(path):
    return {file: file.stat().st_mtime_ns for file in path.rglob("*") if file.is_file()}


def test_finished_run_has_every_file(finished):
    config = json.loads((finished / "config.json").read_text())
    assert config["method"] == "rem_v1"
    assert config["num_particles"] == 4
    metrics = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in metrics] == [1, 2, 3]
    for name in ("log_evidence", "ess", "step", "seconds", "images_per_second", "skipped_updates"):
        assert all(isinstance(row[name], int | float) for row in metrics)
    for name in ("samples", "reconstructions", "learning_curves", "ess"):
        with Image.open(finished / "pictures" / f"{name}.png") as image:
            assert min(image.size) > 300
    (events,) = (finished / "tensorboard").iterdir()
    assert b"log_evidence" in events.read_bytes()
    assert sorted(os.listdir(finished / "checkpoints")) == ["00000008", "00000012"]
    assert not list(finished.rglob("*partial*"))


def test_result_has_every_figure(finished):
    result = _result(finished)
    promised = (
        "method dataset epochs num_particles seed train_log_likelihood test_log_likelihood "
        "test_log_likelihood_stderr eval_num_particles ess kl_to_prior active_units "
        "skipped_updates seconds steps_per_second"
    )
    assert set(promised.split()) <= set(result)
    assert (result["method"], result["dataset"], result["seed"]) == ("rem_v1", "digits", 0)
    assert (result["epochs"], result["num_particles"], result["eval_num_particles"]) == (3, 4, 20)
    assert result["train_images"] == result["test_images"] == 20
    # 64 independent pixels at their frequencies come to -27 nats; a fair coin each to -44.
    assert -30 < result["test_log_likelihood"] < -20
    assert 0 < result["test_log_likelihood_stderr"] < 3
    assert 1 <= result["ess"] <= 20
    assert result["skipped_updates"] == 0


def test_finished_run_is_printed_again_and_not_touched(finished, run_binary, tiny):
    before = _files(finished)
    done = run_binary(train, *tiny, f"--run_dir={finished}", "--resume")
    assert (done.code, done.stderr) == (0, "")
    assert "test_log_likelihood " in done.stdout
    assert _files(finished) == before


def test_pictures_may_be_drawn_later(finished, run_binary, tmp_path, numbers, expected_numbers):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    shutil.rmtree(run / "pictures")
    done = run_binary(train, f"--run_dir={run}", "--resume", "--nopictures")
    assert (done.code, "the result is in" in done.stdout) == (0, True)
    assert not (run / "pictures").exists()
    done = run_binary(train, f"--run_dir={run}", "--resume", "--pictures")
    assert (done.code, done.stderr) == (0, "")
    drawn = {path.name for path in (run / "pictures").iterdir()}
    assert drawn == {path.name for path in (finished / "pictures").iterdir()}
    assert numbers(run) == expected_numbers


def _untrained(settings, run, stop, problem):
    return run.config()


def test_resume_needs_no_flag_again(finished, run_binary, monkeypatch):
    config = json.loads((finished / "config.json").read_text())
    monkeypatch.setattr(training, "run_to_result", _untrained)
    done = run_binary(train, f"--run_dir={finished}", "--resume", "--num_particles=4")
    assert (done.code, done.stderr) == (0, "")
    assert json.loads((finished / "config.json").read_text()) == config


def test_preset_leaves_out_what_the_method_has_not(run_binary, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "run_to_result", _untrained)
    for method, covariance in (("iwae", None), ("rem_v2", "unweighted_with_ridge")):
        path = tmp_path / method
        arguments = (f"--method={method}", "--preset=rem_release", "--epochs=7")
        done = run_binary(train, *tiny, *arguments, f"--run_dir={path}")
        assert (done.code, done.stderr) == (0, "")
        config = json.loads((path / "config.json").read_text())
        assert config["covariance"] == covariance
        assert (config["schedule"], config["epsilon_hat"]) == ("constant", True)
        assert (config["epochs"], config["num_particles"]) == (7, 4)


def test_more_epochs_are_those_of_a_longer_run(
    run_binary, tiny, tmp_path, numbers, expected_numbers
):
    """A finished run of two epochs goes on to the third, and its result is that of three."""
    for epochs in (2, 3):
        done = run_binary(train, *tiny, f"--run_dir={tmp_path}", f"--epochs={epochs}", "--resume")
        assert (done.code, done.stderr) == (0, ""), done
    assert numbers(tmp_path) == expected_numbers


def test_killed_run_comes_to_the_same_bits(
    run_binary, tiny, tmp_path, numbers, expected_numbers, finished, kills_itself
):
    arguments = [*tiny, f"--run_dir={tmp_path}", "--resume"]
    steps = []
    for moment in (
        "experiments.run.fitting:initial_state:1",  # the run has begun, no update is made
        # The metrics of epoch 2 are written, its checkpoint is not.
        "remjax.training.checkpoints:save:2",
        "remjax.training.checkpoints:_bring_to_disk:1",  # in the middle of that checkpoint
    ):
        command = [*kills_itself(moment), *arguments]
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (-signal.SIGKILL, "")
        steps.append(checkpoints.latest_step(tmp_path / "checkpoints"))
    assert steps == [None, 4, 4]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2
    done = run_binary(train, *arguments, "--pictures")
    assert (done.code, done.stderr) == (0, "")
    assert numbers(tmp_path) == expected_numbers
    assert {file.relative_to(tmp_path) for file in (tmp_path / "pictures").iterdir()} == {
        file.relative_to(finished) for file in (finished / "pictures").iterdir()
    }


@pytest.fixture
def signal_at_tick(monkeypatch):
    """Sends this process a signal after so many compiled calls of a run."""
    original = fitting._Clock.tick

    def arm(number, last):
        ticks = 0

        def tick(clock, steps):
            nonlocal ticks
            ticks += 1
            original(clock, steps)
            if ticks == last:
                os.kill(os.getpid(), number)

        monkeypatch.setattr(fitting._Clock, "tick", tick)

    return arm


def test_stopped_run_comes_to_the_same_bits(
    run_binary,
    tiny,
    tmp_path,
    numbers,
    expected_numbers,
    signal_at_tick,
    score_is_stopped,
    monkeypatch,
    capfd,
):
    arguments = [*tiny, f"--run_dir={tmp_path}", "--resume"]
    # The first call of a process makes one update, so both stops are in the middle of epoch 1.
    for name, step in (("SIGTERM", 1), ("SIGINT", 2)):
        signal_at_tick(signal.Signals[name], 1)
        done = run_binary(train, *arguments)
        assert (done.code, done.stderr) == (0, "")
        message = f"stopped by {name}; everything is saved: go on with --resume\n"
        assert done.stdout.endswith(message)
        assert capfd.readouterr().err == f"\n{name}: stopping soon; Ctrl-C interrupts at once\n"
        assert checkpoints.latest_step(tmp_path / "checkpoints") == step
        assert not (tmp_path / "result.json").exists()
    monkeypatch.undo()

    score_is_stopped()
    assert run_binary(train, *arguments).code == 0
    assert checkpoints.latest_step(tmp_path / "checkpoints") == 12
    assert not (tmp_path / "result.json").exists()
    monkeypatch.undo()
    assert run_binary(train, *arguments).code == 0
    assert numbers(tmp_path) == expected_numbers


def test_second_ctrl_c_is_one_line(run_binary, tiny, tmp_path, monkeypatch):
    def interrupted(settings, run, stop, problem):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(training, "run_to_result", interrupted)
    done = run_binary(train, *tiny, f"--run_dir={tmp_path}")
    assert (done.code, done.stderr) == (130, "interrupted\n")


def test_process_that_is_stopped_from_outside(run_binary, tiny, tmp_path):
    arguments = [*tiny, f"--run_dir={tmp_path}", "--epochs=1000000", "--resume"]
    command = [sys.executable, "-m", "experiments.train", *arguments]
    with subprocess.Popen(
        command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("rem_v1 on digits")
        assert process.stdout.readline().startswith("epoch   1/1000000  log_evidence")
        second = run_binary(train, *arguments)
        process.terminate()
        stdout, stderr = process.communicate()
    assert second.code == 2
    assert second.stderr.startswith(f"error: another process is using {tmp_path}: wait for")
    assert process.returncode == 0
    assert stdout.splitlines()[-1].startswith("stopped by SIGTERM; everything is saved")
    # Nothing else: no progress bar where nobody looks, no word of JAX or Orbax.
    assert stderr == "\nSIGTERM: stopping soon; Ctrl-C interrupts at once\n"
    last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    step = checkpoints.latest_step(tmp_path / "checkpoints")
    assert step is not None
    assert last["step"] <= step < last["step"] + 4


def test_full_disk_is_one_line_and_the_run_goes_on_later(
    run_binary, tiny, tmp_path, monkeypatch, numbers, expected_numbers
):
    # A limit on the size of files stands in for the disk: it fails in the same system call.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    original = checkpoints.save

    def save(directory, step, tree):
        limit = 10_000 if step > 4 else soft
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            original(directory, step, tree)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    monkeypatch.setattr(checkpoints, "save", save)
    arguments = [*tiny, f"--run_dir={tmp_path}", "--resume"]
    done = run_binary(train, *arguments)
    assert done.code == 2
    assert done.stderr.startswith("error: cannot save the checkpoint of step 8 in ")
    assert done.stderr.endswith(
        "File too large; free some space there, or choose a directory that can be written\n"
    )
    assert done.stderr.count("\n") == 1
    assert os.listdir(tmp_path / "checkpoints") == ["00000004"]
    monkeypatch.undo()
    assert run_binary(train, *arguments).code == 0
    assert numbers(tmp_path) == expected_numbers


def test_damaged_checkpoint_is_one_line(run_binary, tiny, finished, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(finished, path)
    (path / "result.json").unlink()
    (path / "checkpoints" / "00000012" / "manifest.json").write_text("{}")
    done = run_binary(train, *tiny, f"--run_dir={path}", "--resume")
    assert done.code == 2
    assert done.stderr.count("\n") == 1
    assert "00000012 is damaged: remove that directory to go on from the one" in done.stderr
