"""The visible units of a machine are those that the data ask for, and it is said which."""

import numpy as np
import pytest

from experiments import train
from tests.experiments.run.runs import json_of

_FLAGS = (
    *("--model=rbm", "--latent_size=3", "--batch_size=20", "--epochs=2", "--num_chains=10"),
    *("--track_temperatures=0", "--log_z_temperatures=20", "--log_z_chains=10"),
    *("--log_z_burn_in=10", "--nopictures"),
)
_RNG = np.random.default_rng(0)
_HEIGHTS = _RNG.normal([170.0, 0.0], [10.0, 1.0], (60, 2))


def _table(path, rows):
    np.savetxt(path, rows, delimiter=",", header="height,other", comments="")
    return path


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            _HEIGHTS,
            "column height holds numbers of about 171, and real visible units learn columns of "
            "about mean 0 and variance 1: add --standardize",
        ),
        (
            np.where(_HEIGHTS > [170.0, 0.0], 1.0, -1.0),
            "the data hold -1 and 1 alone, and visible units of two values are 0 and 1: save them "
            "as x == 1",
        ),
        (_HEIGHTS * 1e30, "column height holds numbers of about 1.71e+32, and real visible units"),
    ],
    ids=["centimetres", "spins", "huge"],
)
def test_columns_that_no_unit_fits_are_refused(run_binary, tmp_path, rows, message):
    table = _table(tmp_path / "table.csv", rows)
    done = run_binary(train, *_FLAGS, f"--dataset={table}", f"--run_dir={tmp_path / 'run'}")
    assert (done.code, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr
    assert not (tmp_path / "run").exists()


def test_standardized_columns_are_fitted(run_binary, tmp_path):
    table, path = _table(tmp_path / "table.csv", _HEIGHTS), tmp_path / "run"
    done = run_binary(train, *_FLAGS, "--standardize", f"--dataset={table}", f"--run_dir={path}")
    assert (done.code, done.stderr) == (0, "")
    assert (
        "visible units: real numbers, Gaussian given the hidden ones, of standardized columns"
        in done.stdout
    )
    assert np.isfinite(json_of(path / "result.json")["test_log_likelihood"])


def test_parameters_that_run_away_are_said(run_binary, tmp_path):
    table, path = _table(tmp_path / "table.csv", _HEIGHTS), tmp_path / "run"
    flags = (*_FLAGS, "--standardize", "--learning_rate=2e9")
    done = run_binary(train, *flags, f"--dataset={table}", f"--run_dir={path}")
    assert "the log-likelihood is no finite number" in done.stdout


def test_bits_are_said(run_binary, tmp_path):
    table = _table(tmp_path / "table.csv", _HEIGHTS > [170.0, 0.0])
    done = run_binary(train, *_FLAGS, f"--dataset={table}", f"--run_dir={tmp_path / 'run'}")
    assert (done.code, done.stderr) == (0, "")
    assert "visible units: bits\n" in done.stdout
