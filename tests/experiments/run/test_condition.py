"""--condition: a label and a covariate that rows are conditioned on, from training to samples."""

import csv

import numpy as np
import pytest

from experiments import encode, impute, reconstruct, sample, train
from experiments.run.opened_run import open_run
from remjax.data.files import read_tables
from remjax.fitting import Fitted

RNG = np.random.default_rng(0)
KINDS = np.array(["oak", "elm", "fir"])
KIND, AGE = RNG.integers(0, 3, 300), RNG.normal(50.0, 10.0, 300)
CENTRES = np.array([[0.0, 0.0, 5.0], [5.0, 0.0, 0.0], [0.0, 5.0, 0.0]])
ROWS = CENTRES[KIND] + 0.1 * (AGE[:, None] - 50.0) + 0.3 * RNG.normal(size=(300, 3))
SMALL = (
    "--batch_size=27", "--num_particles=5", "--hidden_size=16", "--hidden_layers=1",
    "--latent_size=2", "--eval_num_particles=20", "--eval_size=20", "--schedule=constant",
)  # fmt: skip


def _write(path, kinds=KINDS[KIND], rows=ROWS):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "kind", "b", "age", "c"])
        for kind, age, (a, b, c) in zip(kinds, AGE, rows, strict=False):
            writer.writerow([a, kind, "" if np.isnan(b) else b, age, c])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("condition")
    _write(place / "trees.csv")
    holes = ROWS.copy()
    holes[::2, 1] = np.nan
    _write(place / "holes.csv", rows=holes)
    _write(place / "new.csv", kinds=["oak", "ash", "elm"])
    return place


@pytest.fixture(scope="module")
def run(run_binary, place):
    done = run_binary(
        train, f"--run_dir={place}/run", f"--dataset={place}/trees.csv", "--condition=kind,age",
        "--missing=marginalize", "--standardize", "--method=vae", "--epochs=60",
        "--learning_rate=0.01", *SMALL,
    )  # fmt: skip
    assert done.code == 0, done
    assert "given kind (3 categories), age (standardized)" in done.stdout
    return place / "run"


def test_the_right_label_is_likelier_than_a_wrong_one(place, run):
    opened = open_run(run)
    assert opened.facts.columns.names == ("a", "b", "c")
    assert opened.facts.condition.model_names == ("kind=elm", "kind=fir", "kind=oak", "age")
    table = read_tables(place / "trees.csv").train
    x = opened.facts.columns.to_model(table)
    fit = Fitted(opened.model, opened.recognition, opened.params, None, (3,), ())

    def score(table):
        condition = opened.facts.condition.to_model(table)
        rows = np.concatenate([x, condition], axis=1)[:100]
        return fit.log_likelihood(rows, num_particles=50).mean

    values = table.values.copy()
    values[:, 1] = (values[:, 1] + 1) % 3
    assert score(table) > score(table._replace(values=values)) + 2.0


def test_samples_have_the_label_that_was_asked_for(run_binary, place, run):
    for label, kind in enumerate(KINDS):
        out = place / f"{kind}.npy"
        done = run_binary(sample, f"--run_dir={run}", f"--condition={kind},50", f"--out={out}")
        assert done.code == 0, done
        drawn = np.load(out)
        assert drawn.shape == (100, 3)
        np.testing.assert_allclose(drawn.mean(axis=0), CENTRES[label], atol=1.0)


def test_codes_means_and_what_is_missing(run_binary, place, run):
    here, rows = f"--run_dir={run}", f"--dataset={place}/trees.csv"
    assert run_binary(encode, here, rows, f"--out={place}/codes.npy").code == 0
    assert np.load(place / "codes.npy").shape == (300, 2)
    assert run_binary(reconstruct, here, rows, f"--out={place}/means.npy").code == 0
    means = np.load(place / "means.npy")
    assert np.mean((means - ROWS) ** 2) < 0.1 * ROWS.var()
    holes = f"--dataset={place}/holes.csv"
    assert run_binary(impute, here, holes, f"--out={place}/filled.csv").code == 0
    filled = read_tables(place / "filled.csv").train
    assert filled.names == ("a", "kind", "b", "age", "c")
    assert filled.levels["kind"] == ("elm", "fir", "oak")
    error = filled.values[::2, 2] - ROWS[::2, 1]
    assert np.sqrt(np.mean(error**2)) < 0.5 * ROWS[:, 1].std()


@pytest.mark.parametrize(
    ("command", "flags", "words"),
    [
        (sample, (), "is conditioned on kind,age: give a value of each, as --condition=KIND,AGE"),
        (sample, ("--condition=oak",), "is conditioned on kind,age"),
        (sample, ("--condition=ash,3",), "'kind', whose categories are elm, fir, oak"),
        (sample, ("--condition=oak,old",), "--condition has 'old' for age: give a number"),
        (encode, ("--dataset=new.csv",), "row 1 holds ash in column 'kind', whose categories"),
    ],
)
def test_refusals(run_binary, place, run, command, flags, words):
    flags = [flag.replace("new.csv", f"{place}/new.csv") for flag in flags]
    done = run_binary(command, f"--run_dir={run}", f"--out={place}/none.csv", *flags)
    assert (done.code, done.stderr.count("\n")) == (2, 1), done
    assert words in done.stderr
    assert not (place / "none.csv").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--condition=kin",), "there is no column 'kin': the columns are a, kind, b, age, c"),
        (("--condition=kind", "--columns=a,kind"), "column 'kind' is fitted, and cannot be"),
        (("--condition=a,kind,b,age,c",), "all columns are conditions: leave one to fit"),
        (("--condition=kind", "--model=rbm", "--method=pcd"), "--condition does nothing for"),
        (("--condition=kind", "--dataset=digits"), "--condition does nothing for --dataset=digits"),
        (("--condition=b", "--dataset=holes.csv"), "the condition is missing in rows 0, 2, 4"),
    ],
)
def test_what_cannot_be_a_condition(run_binary, place, flags, words):
    flags = [flag.replace("holes.csv", f"{place}/holes.csv") for flag in flags]
    done = run_binary(
        train, f"--run_dir={place}/none", f"--dataset={place}/trees.csv", *SMALL, *flags
    )
    assert (done.code, done.stderr.count("\n")) == (2, 1), done
    assert words in done.stderr
    assert not (place / "none").exists()


def test_images_with_labels_in_an_archive(run_binary, tmp_path):
    """Grey pixels become bits, and the condition beside them stays what it is."""
    labels = RNG.integers(0, 2, 100)
    images = np.zeros((100, 2, 4), np.uint8)
    images[labels == 0, 0], images[labels == 1, 1] = 250, 250
    np.savez(tmp_path / "images.npz", x=images, condition=np.array(["up", "down"])[labels])
    done = run_binary(
        train, f"--run_dir={tmp_path}/run", f"--dataset={tmp_path}/images.npz",
        "--condition=condition", "--method=vae", "--epochs=30", "--learning_rate=0.02", *SMALL,
    )  # fmt: skip
    assert done.code == 0, done
    assert "given condition (2 categories)" in done.stdout
    out = f"--out={tmp_path}/drawn.npy"
    assert run_binary(sample, f"--run_dir={tmp_path}/run", "--condition=up", out).code == 0
    drawn = np.load(tmp_path / "drawn.npy").reshape(-1, 2, 4)
    assert drawn[:, 0].mean() > 0.8 > 0.2 > drawn[:, 1].mean()
