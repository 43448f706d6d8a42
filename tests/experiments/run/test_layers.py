"""Runs of models of several stochastic layers, from the flags to the pictures."""

import json

import pytest

from experiments import train
from experiments.run.settings import Settings


def test_sizes_of_layers_from_the_flags():
    settings = Settings(latent_size="100,50", hidden_size="200,100")
    assert settings.latent_sizes == (100, 50)
    assert settings.hidden_sizes == ((200, 200), (100, 100))
    linear = Settings(latent_size="30,20,10", hidden_layers=0)
    assert linear.hidden_sizes == ((), (), ())
    assert Settings(latent_size="3,2", hidden_size="7", hidden_layers=1).hidden_sizes == ((7,),) * 2


@pytest.mark.parametrize(
    ("model", "method", "hidden_layers"),
    [
        ("gaussian", "iwae", 1),
        ("gaussian", "rem_v1", 1),
        ("sigmoid_belief", "rws", 0),
    ],
)
def test_digits_with_two_layers(run_binary, tiny, tmp_path, model, method, hidden_layers):
    path = tmp_path / "run"
    layers = (f"--model={model}", "--latent_size=3,2", f"--hidden_layers={hidden_layers}")
    done = run_binary(
        train, *tiny, f"--run_dir={path}", f"--method={method}", *layers, "--pictures"
    )
    assert (done.code, done.stderr) == (0, "")
    result = json.loads((path / "result.json").read_text())
    # 64 independent pixels at their frequencies come to -27 nats; a fair coin each to -44.
    assert -32 < result["test_log_likelihood"] < -20
    assert result["skipped_updates"] == 0
    assert result["active_units"] == sum(result["active_units_per_layer"])
    assert len(result["active_units_per_layer"]) == 2
    assert result["kl_to_prior"] > 0
    assert (path / "pictures" / "reconstructions.png").exists()


def test_digits_with_uncertain_weights(run_binary, tiny, tmp_path):
    """The noise of the activations is a layer that no datapoint moves; the divergence is logged."""
    path = tmp_path / "run"
    flags = ("--model=uncertain_gaussian", "--method=vr", "--alpha=0.5")
    done = run_binary(train, *tiny, f"--run_dir={path}", *flags)
    assert (done.code, done.stderr) == (0, "")
    result = json.loads((path / "result.json").read_text())
    assert -32 < result["test_log_likelihood"] < -20
    assert result["active_units_per_layer"][0] == 0
    lines = (path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["weight_divergence"] > 100.0
    assert json.loads(lines[-1])["scored"] == 4.0
    assert json.loads((path / "config.json").read_text())["alpha"] == 0.5
