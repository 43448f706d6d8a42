"""Data against a support: which rows are named, for every type, and that it costs little."""

import re
import tracemalloc

import jax.numpy as jnp
import numpy as np
import pytest

from remjax.data import check_rows, checks
from remjax.errors import InputError
from remjax.types import Support

UNIT = Support(0.0, 1.0, "divide bytes by 255")
ANY = Support()


def images(**values):
    """60 rows of 8 x 8 zeros, but for values at some rows."""
    x = np.zeros((60, 8, 8), np.float32)
    for row, value in values.items():
        x[int(row[1:]), 3, 4] = value
    return x


@pytest.mark.parametrize("block", [1, 64, 1000, 1 << 20])
@pytest.mark.parametrize(
    ("x", "support", "message"),
    [
        (images(r5=np.nan), ANY, "row 5 holds nan: drop or impute that row"),
        (images(r5=-np.inf), ANY, "row 5 holds -inf: drop or impute that row"),
        (
            images(r5=np.nan, r7=np.inf, r59=np.nan),
            UNIT,
            "row 5 holds nan (and 2 more rows): drop or impute those rows",
        ),
        (
            images(r2=255.0, r7=np.inf),
            UNIT,
            "row 7 holds inf: drop or impute that row",
        ),
        (
            images(r2=255.0, r7=-1.0),
            UNIT,
            "row 2 holds 255 (and 1 more row) and values must lie in [0, 1]: divide bytes by 255",
        ),
        (images(r9=-0.25), UNIT, "row 9 holds -0.25 and values must lie in [0, 1]: divide bytes"),
        (
            images(r9=-0.25),
            Support(low=0.0, mend="give counts"),
            "row 9 holds -0.25 and values must lie in [0, inf]: give counts",
        ),
    ],
)
def test_the_first_row_that_offends_is_named(x, support, message, block, monkeypatch):
    monkeypatch.setattr(checks, "_BLOCK", block)
    for given in (x, x.reshape(60, 64), x[::1].astype(np.float64), np.asfortranarray(x)):
        with pytest.raises(InputError, match=f"^{re.escape(message)}") as raised:
            check_rows(given, support)
        assert "\n" not in str(raised.value)


TYPES = [bool, np.uint8, np.int64, np.float16, np.float32, np.float64, jnp.bfloat16]


@pytest.mark.parametrize("dtype", TYPES)
def test_every_real_type_is_served(dtype):
    x = np.asarray([[0, 1], [1, 1], [1, 0]], dtype)
    check_rows(x, UNIT)
    check_rows(x, ANY)
    if dtype is not bool:
        x[1, 1] = 2
        with pytest.raises(InputError, match=r"^row 1 holds 2 and values must lie in \[0, 1\]"):
            check_rows(x, UNIT)
    with pytest.raises(InputError, match=r"^row 0 holds 1 "):
        check_rows(np.ones(3, dtype), Support(high=0.5))


@pytest.mark.parametrize(
    ("x", "name"),
    [
        (np.array([[None]]), "object"),
        (np.zeros((2, 2), complex), "complex128"),
        (np.array([["a"]]), "<U1"),
        (np.zeros(2, "datetime64[s]"), "datetime64[s]"),
    ],
)
def test_other_types_are_refused_by_name(x, name):
    expected = f"data of type {name}: give bools, integers or floats"
    with pytest.raises(InputError, match=f"^{re.escape(expected)}$"):
        check_rows(x, ANY)


def test_edges():
    check_rows(np.zeros((0, 4)), UNIT)
    check_rows(np.zeros((4, 0)), UNIT)
    check_rows(np.array([0.0, 1.0]), UNIT)
    with pytest.raises(InputError, match=r"^data are the one number 1.0: give rows \[N, X\]$"):
        check_rows(np.array(1.0), UNIT)


@pytest.mark.parametrize("value", [0.5, 255.0, np.nan])
def test_it_takes_little_memory(value):
    """A tenth of 38 MB, whether the data are right or wrong in every row."""
    x = np.full((12_000, 784), value, np.float32)
    tracemalloc.start()
    try:
        check_rows(x, UNIT)
    except InputError:
        assert value != 0.5
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < x.nbytes / 10
