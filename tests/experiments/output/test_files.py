"""Files are whole or absent, and JSON is strict."""

import math
import os

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.output.files import replacing, to_plain


def test_error_while_writing_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("old")

    def write_half():
        with replacing(path) as temporary:
            temporary.write_text("new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.json"]


def test_plain_values():
    value = {1: (np.float64(2), jnp.bfloat16(0.5), np.bool_(True)), "x": np.array([1.0, math.nan])}
    assert to_plain(value) == {"1": [2.0, 0.5, True], "x": [1.0, None]}
    with pytest.raises(TypeError, match="JSON cannot hold"):
        to_plain({"x": object()})
