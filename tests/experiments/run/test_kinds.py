"""Which settings and methods go with a kind of model, and what it is by default."""

import dataclasses
import json

import pytest

from experiments import methods as table
from experiments import train
from experiments.papers.protocol import Plan, Scale
from experiments.papers.sweep import _share, _work
from experiments.run.kinds import MODELS, has
from experiments.run.network_settings import NETWORK_SETTINGS
from experiments.run.problem import build
from experiments.run.progress import progress_bar
from experiments.run.settings import Settings
from tests.experiments.run import coins

_FLAGS = ("--model=coins", "--dataset=digits", "--train_size=200", "--batch_size=50")


@pytest.fixture(autouse=True)
def _coins(monkeypatch):
    coins.join(monkeypatch.setitem)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method=iwae"], "--method=iwae does not serve --model=coins: use one of slowly, at_on"),
        (
            ["--model=gaussian", "--method=slowly"],
            "--method=slowly does not serve --model=gaussian",
        ),
        (["--model=coin"], "--model=coin is not known: use one of coins"),
        (["--hidden_size=8"], "--hidden_size does nothing for --model=coins: leave it out"),
        (["--num_particles=8"], "--num_particles does nothing for --model=coins: leave it out"),
        (["--bfloat16"], "--bfloat16 does nothing for --model=coins: leave it out"),
        (["--num_categories=3"], "--num_categories does nothing for --model=coins: leave it out"),
        (["--keep=3"], "--keep does nothing for --method=slowly: leave it out"),
        (["--alpha=0.5"], "--alpha does nothing for --method=slowly: leave it out"),
        (["--method=at_once", "--decay=0.5"], "--decay does nothing for --method=at_once: leave"),
        (["--adam_b1=0.5"], "--adam_b1 does nothing for --optimizer=sgd: leave it out"),
        (["--dataset=freyfaces", "--data_dir={place}"], "freyfaces"),
        (["--mesh=particles:2"], "--mesh=particles:2 has devices for particles, which --model=coi"),
    ],
)
def test_what_does_not_go_together(run_binary, tmp_path, arguments, words):
    arguments = [argument.format(place=tmp_path) for argument in arguments]
    done = run_binary(train, *_FLAGS, f"--run_dir={tmp_path}/new", *arguments)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    assert words in done.stderr
    assert not (tmp_path / "new").exists()


def test_preset_leaves_out_what_the_model_has_not(run_binary, tmp_path):
    done = run_binary(train, *_FLAGS, f"--run_dir={tmp_path}", "--preset=rem_paper", "--epochs=1")
    assert (done.code, done.stderr) == (0, "")
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["learning_rate"], config["latent_size"]) == (1e-3, "20")
    assert (config["initialization"], config["optimizer"]) == ("glorot", "sgd")


def test_settings_that_each_kind_has():
    assert all(has("coins", name) for name in ("latent_size", "eval_num_particles", "batch_size"))
    assert not has("coins", "num_particles")
    for name in NETWORK_SETTINGS - {"num_categories"}:
        assert has("gaussian", name)
    assert [has(model, "num_categories") for model in ("categorical", "gaussian")] == [True, False]
    names = {field.name for field in dataclasses.fields(Settings)}
    assert all(kind.settings | set(kind.defaults) <= names for kind in MODELS.values())


def test_runs_of_a_kind_are_compared_by_a_figure_that_is_shown():
    for kind in MODELS.values():
        assert kind.scoring.headline in kind.scoring.columns
    assert MODELS["denoising"].scoring.headline == "test_csl"


def test_help_has_the_defaults_of_the_kind(defined_flags):
    with defined_flags(train):
        flags = train.flags.FLAGS
        assert flags["learning_rate"].help.endswith(", 0.5 for coins)")
        assert flags["method"].help.endswith(", slowly for coins)")
        assert flags["model"].help.endswith(", coins")
        assert "coins" not in flags["epochs"].help


def test_table_of_methods_has_every_family(run_binary, monkeypatch):
    monkeypatch.setattr(table, "FAMILIES", (*table.FAMILIES, coins.FAMILY))
    whole = run_binary(table).stdout
    assert "| theta ascends" in whole
    assert "| slowly  | 0.75 m + 0.25 x |" in whole
    one = run_binary(table, "--method=at_once").stdout
    assert "0.0 m + 1.0 x" in one
    assert "m: the mean so far." in one
    assert "theta" not in one


def test_cell_of_a_paper(tmp_path):
    """Defaults of the kind, then preset and layers, without what coins have not."""
    scale = Scale({}, {})
    plan = Plan(tmp_path, scale, "rem_release", seeds=2)
    layers = {"model": "coins", "dataset": "digits", "num_particles": 9, "epochs": 5, "keep": 3}
    settings = plan.settings("slowly", layers, {"epsilon_hat": False})
    assert (settings.optimizer, settings.eval_num_particles) == ("sgd", 1000)
    assert (settings.num_particles, settings.keep, settings.covariance) == (50, None, None)
    assert (settings.epochs, settings.num_replicas) == (5, 2)
    build(settings)
    # 15 updates in each epoch, of 20 images; as many images are scored as there are, twice.
    steps = 5 * (1500 // 20)
    assert _work(settings, 1500) == 2 * (steps * 20 + 2 * 1000)
    with progress_bar(total=100, unit="pass", desc="sweep") as bar:
        assert _share(bar, settings, total=1, unit="step", desc="")._worth == 2 * 20
        assert _share(bar, settings, total=1, unit="image", desc="")._worth == 1
