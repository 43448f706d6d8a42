"""Whatever is in a file, a reader gives the table that was written, or one line of refusal."""

import csv
import io

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from pyarrow import parquet

from remjax.data import from_file
from remjax.data.files import read_tables
from remjax.errors import InputError

FEW = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
CELLS = st.one_of(st.just(np.nan), st.floats(width=32, allow_nan=False, allow_infinity=False))
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=6)


@st.composite
def tables(draw):
    """Names, and rows of finite numbers with holes."""
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    shape = (draw(st.integers(1, 6)), len(names))
    return names, draw(arrays.arrays(np.float64, shape, elements=CELLS))


def _one_line(path):
    """Reads the file, or is refused in one line that names it."""
    try:
        return from_file(path, missing=True)
    except InputError as error:
        text = str(error)
        assert text.startswith(str(path))
        assert "\n" not in text
        return None


def _is_header(names):
    """Whether a line of names is none of numbers, and is separated by commas alone."""
    text = io.StringIO()
    csv.writer(text).writerow(names)
    line = text.getvalue()
    try:
        [float(name) for name in names]
    except ValueError:
        return not any(mark in line for mark in ';\t"')
    return False


@FEW
@given(tables())
def test_a_csv_is_read_as_it_was_written(tmp_path, table):
    names, rows = table
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([["" if v != v else repr(float(v)) for v in row] for row in rows])
    if not _is_header(names) or (len(names) == 1 and np.isnan(rows).any()):
        _one_line(path)  # an empty line is no row of one missing value
        return
    found = read_tables(path).train
    assert found.names == tuple(names)
    np.testing.assert_array_equal(found.values, rows)


@FEW
@given(tables())
def test_a_parquet_is_read_as_it_was_written(tmp_path, table):
    names, rows = table
    path = tmp_path / "a.parquet"
    cells = {
        name: pa.array(column, mask=np.isnan(column))
        for name, column in zip(names, rows.T, strict=True)
    }
    parquet.write_table(pa.table(cells), path)
    found = read_tables(path).train
    assert found.names == tuple(names)
    np.testing.assert_array_equal(found.values, rows)


@FEW
@given(
    arrays.arrays(
        st.sampled_from([np.float32, np.float64, np.int8, np.uint8, np.int64, np.bool_]),
        arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    )
)
def test_an_array_of_any_shape(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", x=array)
    for name in ("a.npy", "a.npz"):
        found = _one_line(tmp_path / name)
        if found is not None:
            rows = np.concatenate([found.train, found.test])
            assert rows.shape == (len(array), array[0].size)
            assert rows.dtype == np.float32


def _valid(tmp_path):
    rows = np.arange(24.0).reshape(8, 3)
    np.save(tmp_path / "a.npy", rows)
    np.savez_compressed(tmp_path / "a.npz", x=rows, condition=np.arange(8))
    parquet.write_table(pa.table({"a": rows[:, 0], "b": rows[:, 1]}), tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text("a,b,c\n" + "\n".join(",".join(map(str, r)) for r in rows))
    return {path.suffix: path.read_bytes() for path in tmp_path.glob("a.*")}


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".parquet"])
@FEW
@given(place=st.floats(0, 1), length=st.integers(0, 8), noise=st.binary(max_size=8))
def test_a_file_with_other_bytes_in_it(tmp_path, suffix, place, length, noise):
    """Cut, overwritten or with something put in: never a traceback."""
    content = _valid(tmp_path)[suffix]
    start = int(place * len(content))
    for name, damaged in (
        ("cut", content[:start]),
        ("other", content[:start] + noise + content[start + length :]),
    ):
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(damaged)
        _one_line(path)


@FEW
@given(
    content=st.binary(max_size=200), suffix=st.sampled_from([".npy", ".npz", ".csv", ".parquet"])
)
def test_a_file_of_noise(tmp_path, content, suffix):
    path = tmp_path / f"noise{suffix}"
    path.write_bytes(content)
    _one_line(path)


def _image(format_):
    buffer = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(buffer, format_)
    return buffer.getvalue()


@pytest.mark.parametrize(("format_", "suffix"), [("PNG", ".png"), ("JPEG", ".jpg")])
@FEW
@given(place=st.floats(0, 1), length=st.integers(0, 8), noise=st.binary(max_size=8))
def test_a_folder_with_a_damaged_image(tmp_path, format_, suffix, place, length, noise):
    content = _image(format_)
    start = int(place * len(content))
    (tmp_path / "notes.txt").write_bytes(noise)
    (tmp_path / f"a{suffix}").write_bytes(content)
    for damaged in (content[:start], content[:start] + noise + content[start + length :]):
        (tmp_path / f"b{suffix}").write_bytes(damaged)
        _one_line(tmp_path)
