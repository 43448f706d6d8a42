"""A table as a file: what is written is read back, and a full disk is one line."""

import resource

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from experiments.output.table_files import write_table
from remjax.data import Table
from remjax.data.files import read_tables
from remjax.errors import InputError

TABLE = Table(
    ("a", "colour"), np.array([[1.5, 0], [np.nan, 1], [-1e-9, np.nan]]), {"colour": ("blue", "red")}
)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_what_is_written_is_read_back(tmp_path, suffix):
    write_table(tmp_path / f"a{suffix}", TABLE)
    found = read_tables(tmp_path / f"a{suffix}").train
    assert (found.names, found.levels) == (TABLE.names, TABLE.levels)
    np.testing.assert_array_equal(found.values, TABLE.values)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_of_text_are_short_and_the_same(tmp_path, dtype):
    values = np.random.default_rng(0).normal(size=(500, 2)).astype(dtype) * np.logspace(-9, 9, 500)[
        :, None
    ].astype(dtype)
    values[0] = 3.0, -120.0
    values[1, 0] = 0.1
    write_table(tmp_path / "a.csv", Table(("a", "b"), values))
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[:2] == ["a,b", "3,-120"]
    assert lines[2].startswith("0.1," if dtype is np.float64 else "0.100000001,")
    found = np.array([line.split(",") for line in lines[1:]], np.float64).astype(dtype)
    np.testing.assert_array_equal(found, values)


def test_columns_of_parquet_are_numbers_and_text(tmp_path):
    write_table(tmp_path / "a.parquet", TABLE)
    schema = parquet.read_schema(tmp_path / "a.parquet")
    assert schema.field("a").type == pa.float64()
    assert schema.field("colour").type in (pa.string(), pa.large_string())


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz", ".npy"])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, suffix):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    rows = np.random.default_rng(0).normal(size=(2000, 5))
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(InputError, match=r"^cannot write .*; free some space there") as raised:
            write_table(tmp_path / f"a{suffix}", Table(tuple("abcde"), rows))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())
