"""A run that starts from another has its parameters and moments, and refuses what does not fit."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import train
from experiments.run.continuation import continued
from experiments.run.initial_state import initial_state
from experiments.run.optimizers import OPTIMIZERS
from experiments.run.problem import build
from experiments.run.settings import Settings
from remjax.training import checkpoints
from remjax.types import Params


def _settings(path, **changes):
    config = json.loads((path / "config.json").read_text())
    return dataclasses.replace(Settings.from_mapping(config), **changes)


def _schedules(state):
    def is_schedule(part):
        return isinstance(part, optax.ScaleByScheduleState)

    return [
        part for part in jax.tree.leaves(state.opt_state, is_leaf=is_schedule) if is_schedule(part)
    ]


def test_state_of_the_other_run_goes_on(finished):
    settings = _settings(finished, method="iwae", init_from=str(finished), seed=5)
    fresh = initial_state(build(settings))
    state = continued(fresh, settings)
    origin = _settings(finished)
    old = checkpoints.restore(finished / "checkpoints", initial_state(build(origin)))
    jax.tree.map(np.testing.assert_array_equal, state.params, old.params)
    # Moments and their count go on; the schedule begins anew.
    ours, theirs = (optax.tree.get_all_with_path(one.opt_state, "mu") for one in (state, old))
    assert len(ours) == 3  # theta, eta, and no baseline
    for (_, one), (_, other) in zip(ours, theirs, strict=True):
        jax.tree.map(np.testing.assert_array_equal, one, other)
    assert all(
        count == 12
        for path, count in optax.tree.get_all_with_path(state.opt_state, "count")
        if "ScaleByAdamState" in str(path)
    )
    assert [int(part.count) for part in _schedules(old)] == [12, 12, 12]
    assert [int(part.count) for part in _schedules(state)] == [0, 0, 0]
    assert (int(state.step), int(state.skipped_updates)) == (0, 0)
    np.testing.assert_array_equal(*(jax.random.key_data(one.key) for one in (state, fresh)))
    assert jnp.all(jax.random.key_data(state.key) != jax.random.key_data(old.key)).any()


def test_continued_run_starts_where_the_other_ended(run_binary, tiny, finished, tmp_path):
    flags = [*tiny, "--learning_rate=1e-9", "--schedule=constant", f"--run_dir={tmp_path}/run"]
    done = run_binary(train, *flags, f"--init_from={finished}", "--seed=3")
    assert (done.code, done.stderr) == (0, "")
    ours, theirs = (
        json.loads((path / "result.json").read_text()) for path in (tmp_path / "run", finished)
    )
    assert ours["test_log_likelihood"] == pytest.approx(theirs["test_log_likelihood"], abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--latent_size=3"], "it has --latent_size=2 and this run --latent_size=3; give the same"),
        (["--hidden_size=9"], "it has --hidden_size=8 and this run --hidden_size=9; give the same"),
        (["--optimizer=sgd"], "it has --optimizer=adam and this run --optimizer=sgd"),
        (["--num_replicas=2"], "it has --num_replicas=1 and this run --num_replicas=2"),
        (["--method=nvil"], "baseline/"),
    ],
)
def test_what_does_not_fit_is_refused(run_binary, tiny, finished, tmp_path, arguments, words):
    place = [f"--run_dir={tmp_path}/run", f"--init_from={finished}"]
    done = run_binary(train, *tiny, *place, *arguments)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    assert words in done.stderr
    assert not (tmp_path / "run").exists()


def test_unfinished_run_is_refused(run_binary, tiny, finished, tmp_path):
    (tmp_path / "half").mkdir()
    (tmp_path / "half/config.json").write_text((finished / "config.json").read_text())
    place = [f"--run_dir={tmp_path}/run", f"--init_from={tmp_path}/half"]
    done = run_binary(train, *tiny, *place)
    assert (done.code, done.stderr.count("\n")) == (2, 1)
    assert "half is not finished: train it to its end first" in done.stderr


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_descends(name):
    optimizer = OPTIMIZERS[name](optax.constant_schedule(0.05), max_gradient_norm=10.0)
    params = Params(jnp.array([3.0, -2.0]), jnp.array([1.0]))
    start, state = params, optimizer.init(params)
    for _ in range(20):
        gradient = jax.tree.map(lambda leaf: 2.0 * leaf, params)  # of the sum of squares
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    assert all(
        jnp.all(jnp.abs(now) < jnp.abs(before))
        for now, before in zip(params[:2], start[:2], strict=True)
    )


def test_another_optimizer_trains_and_test_images_are_followed(run_binary, tiny, tmp_path):
    flags = [*tiny, f"--run_dir={tmp_path}", "--optimizer=rmsprop", "--eval_every=2"]
    done = run_binary(train, *flags, "--learning_rate=0.05", "--nocentred_input", "--epochs=4")
    assert (done.code, done.stderr) == (0, "")
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["log_evidence"] > rows[0]["log_evidence"] + 1  # it began with grey images
    result = json.loads((tmp_path / "result.json").read_text())
    assert ["test_log_likelihood" in row for row in rows] == [False, True, False, True]
    assert rows[-1]["test_log_likelihood"] == pytest.approx(result["test_log_likelihood"], abs=1e-3)
    assert [len(layer) for layer in result["activity"]] == [2]
