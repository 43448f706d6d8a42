"""What is exported loads in a process that has no remjax, for any batch, to the same numbers."""

import json
import subprocess
import sys

import numpy as np
import pytest

import remjax
from remjax import methods, models
from remjax.errors import InputError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5)).astype(np.float32)
C = np.eye(2, dtype=np.float32)[RNG.integers(0, 2, 60)]

# Importing remjax is blocked; what it prints are the shapes.
ALONE = """
import json, sys
from pathlib import Path
sys.modules["remjax"] = None
import jax, numpy as np
folder = Path(sys.argv[1])
about = json.loads((folder / "export.json").read_text())
given = dict(np.load(folder.parent / "given.npz"))
found = {}
for name in ("encoder", "decoder"):
    program = jax.export.deserialize((folder / about[name]["file"]).read_bytes())
    assert set(program.platforms) == {"cpu", "cuda"}, program.platforms
    for count in (1, 7, 60):
        inputs = [given[one["name"]][:count] for one in about[name]["inputs"]]
        assert all(list(x.shape[1:]) == i["shape"][1:] for x, i in
                   zip(inputs, about[name]["inputs"]))
        found[name] = np.asarray(program.call(*inputs))
        assert found[name].shape == (count, about[name]["outputs"][0]["shape"][1])
np.savez(folder.parent / "found.npz", **found)
"""


def networks(rows, condition_size=0):
    sizes = {"latent_size": 2, "hidden_sizes": (8,)}
    likelihood = remjax.gaussian_likelihood(X.mean(axis=0), X.std(axis=0))
    model = remjax.gaussian_model(likelihood, condition_size=condition_size, **sizes)
    return model, remjax.gaussian_recognition(rows.mean(axis=0), **sizes)


def fitted(rows, model, recognition, method):
    return remjax.fit(
        rows, model, recognition, method, remjax.Particles(2), epochs=1, progress=False
    )


def alone(folder, **given):
    np.savez(folder.parent / "given.npz", **given)
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(folder)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    with np.load(folder.parent / "found.npz") as found:
        return dict(found)


def test_a_fit_without_the_library(tmp_path):
    fit = fitted(X, *networks(X), methods.vae())
    fit.export(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "decoder.bin", "encoder.bin", "export.json",
    ]  # fmt: skip
    codes = fit.encode(X)
    found = alone(tmp_path / "out", x=X, z=codes)
    np.testing.assert_allclose(found["encoder"], codes, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found["decoder"], fit.reconstruct(X), rtol=1e-5, atol=1e-5)
    with pytest.raises(InputError, match="holds something already: choose another place"):
        fit.export(tmp_path / "out")


def test_a_condition_goes_beside_the_latent(tmp_path):
    rows = np.concatenate([X, C], axis=1)
    fit = fitted(rows, *networks(rows, 2), methods.vae())
    fit.export(tmp_path / "out")
    codes = fit.encode(rows)
    found = alone(tmp_path / "out", x=rows, z=codes, condition=C)
    np.testing.assert_allclose(found["encoder"], codes, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found["decoder"], fit.reconstruct(rows), rtol=1e-5, atol=1e-5)


def test_several_layers_are_one_vector(tmp_path):
    bits = (X > 0.0).astype(np.float32)
    sizes = {"latent_sizes": (3, 2)}
    model = models.sigmoid_belief_network(remjax.bernoulli_likelihood(bits.mean(axis=0)), **sizes)
    recognition = models.sigmoid_belief_recognition(bits.mean(axis=0), **sizes)
    fitted(bits, model, recognition, methods.vimco()).export(tmp_path / "out")
    about = json.loads((tmp_path / "out" / "export.json").read_text())
    assert about["decoder"]["inputs"] == [{"name": "z", "shape": ["batch", 5], "dtype": "float32"}]
    assert about["encoder"]["outputs"][0]["shape"] == ["batch", 5]


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"^cannot write .*choose a place that can be written"):
        fitted(X, *networks(X), methods.vae()).export(tmp_path / "file" / "out")
