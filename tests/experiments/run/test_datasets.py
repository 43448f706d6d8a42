"""Every data set that is a file trains and is evaluated through the binaries."""

import json

import pytest

from experiments import evaluate, train

FLAGS = (
    "--train_size=100", "--batch_size=50", "--epochs=1", "--num_particles=4", "--hidden_size=4",
    "--latent_size=2", "--eval_num_particles=10", "--eval_size=10",
)  # fmt: skip


def fitted(run_binary, path, name, folder, *more):
    """The result of a tiny run on the data set."""
    flags = (*FLAGS, f"--dataset={name}", f"--data_dir={folder}", f"--run_dir={path}")
    done = run_binary(train, *flags, *more)
    assert (done.code, done.stderr) == (0, "")
    result = json.loads((path / "result.json").read_text())
    assert result["dataset"] == name
    return result


@pytest.mark.parametrize("name", ["mnist", "binarized_mnist", "omniglot"])
def test_published_files(run_binary, tmp_path, real_data, name):
    result = fitted(run_binary, tmp_path / "run", name, real_data)  # better than fair coins
    assert -784 * 0.693 < result["test_log_likelihood"] < 0.0


def test_real_valued_images_of_another_split(run_binary, tmp_path, frey_file):
    path = tmp_path / "run"
    result = fitted(run_binary, path, "freyfaces", frey_file.parent, "--split_seed=1")
    # Uniform noise has density 1; a Gaussian that fits it is a little worse, 0.18 nats per pixel.
    assert -560 * 0.25 < result["test_log_likelihood"] < -560 * 0.1
    assert result["source"].endswith("1,600 train and 365 test, split by seed 1")
    done = run_binary(evaluate, f"--run_dir={path}", "--eval_num_particles=20", "--eval_size=5")
    assert (done.code, done.stderr) == (0, "")
    (again,) = json.loads((path / "result.json").read_text())["evaluations"]
    assert (again["eval_num_particles"], again["test_images"]) == (20, 5)
