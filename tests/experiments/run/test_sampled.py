"""Machines under the evaluator of draws: next to log-likelihoods that are exact."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from experiments import evaluate, train
from experiments.run.machine_sampling import sampler_of
from experiments.run.sampled import draw_by
from experiments.run.settings import Settings
from remjax.boltzmann import RBM

# 400 updates; log Z is enumerated over 4 hidden units.
_FLAGS = (
    "--model=rbm", "--dataset=digits", "--train_size=200", "--batch_size=50", "--epochs=100",
    "--latent_size=4", "--num_chains=8", "--learning_rate=0.5", "--track_temperatures=0",
    "--eval_size=60",
)  # fmt: skip


@pytest.fixture(scope="module")
def machine(run_binary, tmp_path_factory):
    """A finished run, without figures of draws."""
    path = tmp_path_factory.mktemp("machine") / "run"
    done = run_binary(train, *_FLAGS, f"--run_dir={path}")
    assert (done.code, done.stderr) == (0, "")
    assert "csl" not in done.stdout
    assert "test_csl" not in json.loads((path / "result.json").read_text())
    return path


def test_csl_comes_to_the_exact_likelihood(run_binary, machine):
    """4,000 draws of 16 states of the hidden units: a bound that rises to log p(x)."""
    flags = ("--csl_draws=4,4000", "--csl_chains=200", "--csl_every=5", "--csl_burn_in=200")
    done = run_binary(evaluate, f"--run_dir={machine}", *flags)
    assert (done.code, done.stderr) == (0, "")
    (figures,) = json.loads((machine / "result.json").read_text())["evaluations"]
    exact = figures["test_log_likelihood"]
    assert figures["test_csl"] == pytest.approx(exact, abs=0.1)
    assert figures["test_csl_4"] < exact - 0.3
    assert np.isfinite(figures["parzen_history"])
    for name in ("test_csl", "parzen_history", "log_z_gap"):
        assert f"| {name} " in done.stdout
    assert "Parzen windows, for comparison with tables before 2016" in done.stdout


def test_draws_are_states_of_the_chains_in_turn():
    """Without couplings a hidden unit is on as often as its bias says; five standard errors."""
    machine = RBM(jnp.zeros((3, 2)), jnp.zeros(3), jnp.asarray([1.0, -1.0]))
    settings = Settings(
        model="rbm", method="cd", csl_draws="9,1990", csl_chains=20, csl_every=1, csl_burn_in=3
    )
    bars = []

    class Bar:
        def __init__(self, **options):
            bars.append(options["total"])

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def update(self, count):
            bars[0] -= count

    drawn = draw_by(sampler_of(machine, 1), settings, lambda: None, Bar)
    assert bars == [0]
    assert (drawn.sources.shape, drawn.means.shape) == ((1990, 2), (1990, 3))
    expected = 1.0 / (1.0 + np.exp([-1.0, 1.0]))
    error = 5 * np.sqrt(expected * (1 - expected) / 1990)
    assert (np.abs(drawn.sources.mean(axis=0) - expected) < error).all()
    np.testing.assert_allclose(drawn.means, 0.5)


@pytest.mark.parametrize("text", ["0,10", "10,10", "-1", "1.5", "", "9999999999"])
def test_numbers_of_draws_that_cannot_be(run_binary, tmp_path, text):
    done = run_binary(train, *_FLAGS, f"--csl_draws={text}", f"--run_dir={tmp_path / 'run'}")
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert f"--csl_draws={text} cannot be: give a positive number, or several that" in done.stderr
