"""A user's own file from the command line: to codes, reconstructions, samples and imputations."""

import csv
import json

import numpy as np
import pytest

from experiments import encode, impute, reconstruct, sample, train
from experiments.run.data_facts import facts_of
from experiments.run.kinds import has
from experiments.run.likelihoods import choose
from experiments.run.opened_run import open_run
from remjax.data import from_arrays
from remjax.data.files import read_tables
from tests.data.hostile_files import HOSTILE, write_all

RNG = np.random.default_rng(0)
_LATENT = RNG.normal(size=(300, 2))
# Six columns that two latents explain, in units of their own.
ROWS = _LATENT @ RNG.normal(size=(2, 6)) + 0.2 * RNG.normal(size=(300, 6))
ROWS = ROWS * [1.0, 10.0, 100.0, 1.0, 0.1, 1.0] + [0.0, 50.0, 1000.0, 0.0, 0.0, -3.0]
HOLES = RNG.random(ROWS.shape) < 0.15
NAMES = ("a", "b", "c", "d", "e", "f")
SMALL = (
    "--batch_size=30", "--num_particles=5", "--hidden_size=16", "--hidden_layers=1",
    "--latent_size=2", "--eval_num_particles=20", "--eval_size=20", "--schedule=constant",
)  # fmt: skip


def _write(path, rows, names=NAMES):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([["" if v != v else repr(float(v)) for v in row] for row in rows])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The table, whole and with holes, and with a column of words that nothing is fitted to."""
    place = tmp_path_factory.mktemp("own")
    _write(place / "whole.csv", ROWS)
    _write(place / "holes.csv", np.where(HOLES, np.nan, ROWS))
    return place


@pytest.fixture(scope="module")
def run_with_holes(run_binary, place):
    done = run_binary(
        train, f"--run_dir={place}/run", f"--dataset={place}/holes.csv", "--missing=marginalize",
        "--standardize", "--method=vae", "--epochs=60", "--learning_rate=0.01", *SMALL,
    )  # fmt: skip
    assert done.code == 0, done
    return place / "run", done


def test_what_is_said_and_kept(run_with_holes):
    run, done = run_with_holes
    assert "vae on holes.csv, 270 train and 30 test split by seed 0; gaussian" in done.stdout
    assert "of standardized columns: nats are theirs" in done.stdout
    assert json.loads((run / "result.json").read_text())["likelihood"] == "gaussian"
    facts = json.loads((run / "data.json").read_text())
    assert facts["columns"]["names"] == list(NAMES)


def test_missing_values_come_back_better_than_means(run_binary, place, run_with_holes):
    """What was there stays to the last digit; what was not is nearer than its column's mean."""
    run, _ = run_with_holes
    arguments = (f"--run_dir={run}", f"--dataset={place}/holes.csv", f"--out={place}/filled.csv")
    done = run_binary(impute, *arguments, "--num_particles=200")
    assert done.code == 0, done
    filled = read_tables(place / "filled.csv").train
    assert filled.names == NAMES
    np.testing.assert_array_equal(filled.values[~HOLES], ROWS[~HOLES])
    scale = ROWS.std(axis=0)
    by_means = np.broadcast_to(np.nanmean(np.where(HOLES, np.nan, ROWS), axis=0), ROWS.shape)
    error, naive = (
        np.sqrt(np.mean(((guess - ROWS) / scale)[HOLES] ** 2))
        for guess in (filled.values, by_means)
    )
    assert error < 0.8 * naive


def test_codes_reconstructions_and_samples(run_binary, place, run_with_holes):
    run, _ = run_with_holes
    # Other rows, in another order of columns, with one that the run does not know.
    order = [5, 0, 1, 2, 3, 4]
    rows = np.column_stack([ROWS[:40, order], np.arange(40)])
    _write(place / "new.csv", rows, (*(NAMES[n] for n in order), "number"))
    new, here = f"--dataset={place}/new.csv", f"--run_dir={run}"
    assert run_binary(encode, here, new, f"--out={place}/codes.npz").code == 0
    with np.load(place / "codes.npz") as codes:
        assert codes["x"].shape == (40, 2)
        assert codes["names"].tolist() == ["z1", "z2"]
    assert run_binary(reconstruct, here, new, f"--out={place}/means.parquet").code == 0
    means = read_tables(place / "means.parquet").train
    assert means.names == NAMES
    # In the units of the file: the model explains most of what varies.
    assert np.all(np.mean((means.values - ROWS[:40]) ** 2, axis=0) < ROWS.var(axis=0))
    done = run_binary(sample, here, "--num_samples=500", f"--out={place}/drawn.npy")
    assert done.code == 0
    drawn = np.load(place / "drawn.npy")
    assert np.all(np.abs(drawn.mean(axis=0) - ROWS.mean(axis=0)) < 0.5 * ROWS.std(axis=0))
    assert np.all(np.abs(np.log(drawn.std(axis=0) / ROWS.std(axis=0))) < 0.5)


def test_a_run_opens_without_its_data(place, run_with_holes):
    opened = open_run(run_with_holes[0])
    opened.params.theta["network"]["head"]["bias"].block_until_ready()
    (place / "holes.csv").rename(place / "gone.csv")
    try:
        again = open_run(run_with_holes[0])
    finally:
        (place / "gone.csv").rename(place / "holes.csv")
    np.testing.assert_array_equal(again.facts.mean, opened.facts.mean)
    assert again.facts.columns == opened.facts.columns
    assert again.settings.method == "vae"


KINDS = {
    "poisson": ("auto", RNG.poisson(3.0, (60, 4)), "whole numbers from 0 to"),
    "negative_binomial": ("auto", RNG.negative_binomial(1, 0.1, (60, 4)), "whole numbers from"),
    "bernoulli": ("auto", RNG.integers(0, 2, (60, 4)), "all values are 0 or 1"),
    "gaussian": ("auto", RNG.normal(size=(60, 4)), "measurements from"),
    "categorical": ("categorical", RNG.integers(1, 4, (60, 4)), "as asked for"),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_likelihood_is_chosen_and_the_reason_given(name):
    asked, rows, why = KINDS[name]
    chosen = choose(asked, facts_of(from_arrays(rows)))
    assert str(chosen).startswith(f"{name} likelihood ({why}")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "categorical" else pytest.mark.exhaustive)
        for name in KINDS
    ],
)
def test_each_likelihood_trains(run_binary, tmp_path, name):
    """It says what it chose; what is drawn are values like those of the file."""
    likelihood, rows, why = KINDS[name]
    _write(tmp_path / "own.csv", rows, NAMES[:4])
    run = f"--run_dir={tmp_path}/run"
    done = run_binary(
        train, run, f"--dataset={tmp_path}/own.csv", f"--likelihood={likelihood}", "--epochs=2",
        "--method=iwae", *SMALL,
    )  # fmt: skip
    assert done.code == 0, done
    assert f"{name} likelihood ({why}" in done.stdout
    assert run_binary(sample, run, f"--out={tmp_path}/drawn.csv").code == 0
    drawn = read_tables(tmp_path / "drawn.csv").train.values
    if name != "gaussian":
        assert np.all(drawn % 1 == 0)
    if name == "categorical":
        assert set(np.unique(drawn)) <= {1.0, 2.0, 3.0}


# One of each kind of trouble; what is said of all is held by the tests of the readers.
_USUAL = ("ragged.csv", "missing.csv", "objects.npy", "cut.npz", "noise.parquet", "table.txt")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in _USUAL else pytest.mark.exhaustive)
        for name in HOSTILE
    ],
)
def test_a_hostile_file_is_one_line_and_nothing_is_written(run_binary, tmp_path, name):
    write_all(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = run_binary(train, f"--run_dir={tmp_path}/run", f"--dataset={tmp_path}/{name}", *SMALL)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    assert done.stderr.startswith("error: ")
    if name != "table.txt":  # which is taken for the name of a data set
        assert HOSTILE[name][1] in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--columns=a,z"], "there is no column 'z': the columns are a, b, c, d, e, f"),
        (["--columns=a,a"], "name each column once"),
        (["--test_fraction=1"], "--test_fraction=1.0 cannot be"),
        (["--image_size=8x8"], "is no folder of images"),
        (["--image_size=8"], "--image_size=8 cannot be: give height and width, as 28x28"),
        (["--likelihood=normal"], "--likelihood=normal is not known"),
        (["--likelihood=poisson"], "data_mean holds"),
        (["--likelihood=poisson", "--standardize"], "--standardize is for measurements"),
        (["--likelihood=categorical"], "different numbers: as categories it may have 100"),
        (["--missing=drop"], "--missing=drop is not known"),
        (["--model=rbm", "--missing=marginalize"], "--missing does nothing for --model=rbm"),
        (["--dataset=digits", "--standardize"], "--standardize does nothing for --dataset=digits"),
    ],
    ids=str,
)
def test_flags_that_cannot_be(run_binary, place, arguments, words):
    before = sorted(place.rglob("*"))
    given = {argument.partition("=")[0] for argument in arguments}
    data = [] if "--dataset" in given else [f"--dataset={place}/whole.csv"]
    done = run_binary(train, f"--run_dir={place}/new", *data, *SMALL[:1], *arguments)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    assert words in done.stderr
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize("model", ["gaussian", "dvae", "rbm", "denoising"])
def test_missing_values_are_mended_as_the_model_can(run_binary, place, model):
    """A mend that the model does not have is not offered."""
    size = ("--latent_size=3,2",) if model == "dvae" else ()
    flags = (f"--model={model}", f"--dataset={place}/holes.csv", *size, f"--run_dir={place}/new")
    done = run_binary(train, *flags)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    assert "holes.csv: values are missing in rows " in done.stderr
    mend = "or leave them out of the likelihood with --missing=marginalize\n"
    assert (mend in done.stderr) == has(model, "missing")
    assert done.stderr.endswith(mend if model in ("gaussian", "dvae") else "impute them\n")


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        (encode, ["--run_dir="], "--run_dir is missing"),
        (encode, ["--out="], "--out is missing"),
        (encode, ["--out={place}/a.xlsx"], "give a file that ends in .csv, .parquet, .npz, .npy"),
        (encode, ["--out={place}/no/a.csv"], "is no folder: make it, or choose another"),
        (encode, ["--run_dir={place}"], "holds no run: give a --run_dir"),
        (encode, ["--dataset={place}/few.csv"], "there is no column 'b': the columns are a"),
        (sample, ["--num_samples=0"], "--num_samples=0 cannot be"),
    ],
    ids=str,
)
def test_what_a_run_cannot_be_used_for(
    run_binary, place, run_with_holes, command, arguments, words
):
    _write(place / "few.csv", ROWS[:3, :1], ("a",))
    before = sorted(place.rglob("*"))
    usual = [f"--run_dir={run_with_holes[0]}", f"--out={place}/result.csv"]
    done = run_binary(command, *usual, *(text.format(place=place) for text in arguments))
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    assert words in done.stderr
    assert sorted(place.rglob("*")) == before
