"""A finished run is scored again, and only its list of evaluations grows."""

import json
import shutil

import pytest

from experiments import evaluate, train


@pytest.fixture
def run(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def _result(path):
    return json.loads((path / "result.json").read_text())


def test_evaluation_is_added_to_the_result(run_binary, run):
    before = _result(run)
    done = run_binary(evaluate, f"--run_dir={run}")
    assert (done.code, done.stderr) == (0, "")
    (first,) = _result(run)["evaluations"]
    assert {name: before[name] for name in first if name != "step"} == {
        name: value for name, value in first.items() if name != "step"
    }
    assert first["step"] == 12
    assert f"{before['test_log_likelihood']:.2f}" in done.stdout
    arguments = ("--eval_num_particles=40", "--eval_size=25", "--eval_proposal=two_stage")
    assert run_binary(evaluate, f"--run_dir={run}", *arguments).code == 0
    again, second = _result(run)["evaluations"]
    assert again == first
    assert (second["eval_num_particles"], second["test_images"]) == (40, 25)
    assert second["eval_proposal"] == "two_stage"
    assert {name: _result(run)[name] for name in before} == before


def test_other_images_than_those_of_the_run_are_refused(run_binary, run):
    path = run / "data.json"
    path.write_text(path.read_text().replace('"checksum": ', '"checksum": 1'))
    before = _result(run)
    done = run_binary(evaluate, f"--run_dir={run}")
    assert done.code == 2
    assert "297 test, split by seed 0, and the images found now are others" in done.stderr
    assert done.stderr.endswith("give the --data_dir of before\n")
    assert _result(run) == before


def test_annealing_is_added_to_the_result(run_binary, run):
    arguments = ("--ais_steps=4", "--ais_chains=2", "--ais_simulated=3", "--eval_size=3")
    done = run_binary(evaluate, f"--run_dir={run}", *arguments)
    assert (done.code, done.stderr) == (0, "")
    (figures,) = _result(run)["evaluations"]
    assert (figures["ais_steps"], figures["ais_chains"]) == (4, 2)
    assert abs(figures["ais_log_likelihood"] - figures["test_log_likelihood"]) < 2
    assert figures["ais_simulated_lower"] < figures["ais_simulated_upper"] + 2
    assert 0 < figures["ais_acceptance_rate"] <= 1
    assert f"{figures['ais_log_likelihood']:.2f}" in done.stdout


def test_stopped_evaluation_adds_nothing(run_binary, run, score_is_stopped):
    score_is_stopped()
    before = _result(run)
    done = run_binary(evaluate, f"--run_dir={run}")
    assert done.code == 0
    assert done.stdout == "stopped by SIGTERM; nothing was added to the result\n"
    assert _result(run) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--run_dir is missing: name the folder of a run"),
        (["--run_dir=nowhere"], "nowhere holds no run: give a --run_dir that experiments.train"),
        (["--run_dir={run}", "--ais_steps=0"], "--ais_steps=0 cannot be: give 1 or more"),
        (["--run_dir={run}", "--ais_simulated=3"], "does nothing without --ais_steps: give it too"),
        (["--run_dir={run}", "--eval_num_particles=0"], "--eval_num_particles=0 cannot be"),
        (["--run_dir={run}", "--eval_size=1"], "--eval_size=1 cannot be: give 0 (all), 2 or more"),
        (["--run_dir={run}", "--eval_proposal=prior"], "recognition, curvature, two_stage"),
    ],
)
def test_bad_input_is_one_line(run_binary, run, arguments, words):
    before = _result(run)
    done = run_binary(evaluate, *[argument.format(run=run) for argument in arguments])
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert words in done.stderr
    assert _result(run) == before


def test_bits_are_not_annealed(run_binary, tiny, tmp_path):
    flags = [*tiny, f"--run_dir={tmp_path}", "--model=sigmoid_belief", "--method=rws"]
    assert run_binary(train, *flags, "--epochs=1").code == 0
    done = run_binary(evaluate, f"--run_dir={tmp_path}", "--ais_steps=3")
    assert (done.code, done.stderr.count("\n")) == (2, 1)
    assert (
        "--ais_steps does nothing here: annealed importance sampling moves real latents"
        in done.stderr
    )


def test_run_that_is_not_finished_is_left_to_go_on(run_binary, run):
    (run / "result.json").unlink()
    done = run_binary(evaluate, f"--run_dir={run}")
    assert (done.code, done.stderr.count("\n")) == (2, 1)
    assert "is not finished: go on with experiments.train --resume" in done.stderr
    assert not (run / "result.json").exists()


@pytest.mark.parametrize("change", [{"epochs": "three"}, {"method": 7}, {"latent_size": 3}])
def test_configuration_of_another_kind_is_one_line(run_binary, run, change):
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | change))
    done = run_binary(evaluate, f"--run_dir={run}")
    assert (done.code, done.stderr.count("\n")) == (2, 1)
    (name,) = change
    assert f"the setting {name} cannot be" in done.stderr


def test_run_without_a_checkpoint_is_one_line(run_binary, run):
    shutil.rmtree(run / "checkpoints")
    done = run_binary(evaluate, f"--run_dir={run}")
    assert (done.code, done.stderr.count("\n")) == (2, 1)
    assert "holds no checkpoint" in done.stderr
