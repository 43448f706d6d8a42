"""A user's files: what is read of each format, and one line about each that cannot be."""

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from remjax.data.files import read_tables
from remjax.data.own import from_file
from remjax.errors import InputError
from tests.data.hostile_files import HOSTILE, write_all


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_is_wrong_is_one_line(tmp_path, name):
    write_all(tmp_path)
    with pytest.raises(InputError) as raised:
        from_file(tmp_path / name)
    message = str(raised.value)
    assert name in message
    assert HOSTILE[name][1] in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "content",
    [
        "height,weight\n1,2\n3,\n5,7.5\n",
        "\ufeffheight,weight\n1,2\n3,NA\n5,7.5\n",
        "height,weight\r\n1,2\r\n3,nan\r\n5,7.5\r\n",
        'height,"weight"\n"1",2\n3,\n5,7.5',
    ],
    ids=["plain", "byte_order_mark", "windows", "quoted"],
)
def test_csv(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content.encode())
    table = read_tables(tmp_path / "a.csv").train
    assert table.names == ("height", "weight")
    np.testing.assert_array_equal(table.values, [[1, 2], [3, np.nan], [5, 7.5]])


def test_csv_of_numbers_alone_has_no_header(tmp_path):
    (tmp_path / "a.csv").write_text("1,2\n3,4\n")
    table = read_tables(tmp_path / "a.csv").train
    assert table.names == ("column_0", "column_1")
    np.testing.assert_array_equal(table.values, [[1, 2], [3, 4]])


def test_text_is_places_among_levels(tmp_path):
    (tmp_path / "a.csv").write_text("colour,n\nred,1\nblue,2\n,3\nred,4\n")
    table = read_tables(tmp_path / "a.csv").train
    assert dict(table.levels) == {"colour": ("blue", "red")}
    np.testing.assert_array_equal(table.values[:, 0], [1, 0, np.nan, 1])


def test_parquet(tmp_path):
    columns = {
        "whole": pa.array([1, None, 3], pa.int64()),
        "bit": pa.array([True, False, True]),
        "text": pa.array(["a", "b", "a"]).dictionary_encode(),
        "single": pa.array([0.5, 1.5, 2.5], pa.float32()),
    }
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    table = read_tables(tmp_path / "a.parquet").train
    expected = [[1, 1, 0, 0.5], [np.nan, 0, 1, 1.5], [3, 1, 0, 2.5]]
    np.testing.assert_array_equal(table.values, expected)
    parquet.write_table(pa.table({"a": pa.array([[1], [2]])}), tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"column 'a' is of type list"):
        read_tables(tmp_path / "b.parquet")


def test_arrays(tmp_path):
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.save(tmp_path / "a.npy", images)
    table = read_tables(tmp_path / "a.npy").train
    assert table.image_shape == (3, 4)
    np.testing.assert_array_equal(table.values, images.reshape(2, 12))
    np.savez(tmp_path / "b.npz", train=np.ones((3, 2)), test=np.zeros((2, 2)), more=1)
    train, test, *_ = read_tables(tmp_path / "b.npz")
    assert (train.values.shape, test.values.shape) == ((3, 2), (2, 2))
    np.savez(tmp_path / "c.npz", x=np.ones((3, 2)), y=np.ones(3))
    assert read_tables(tmp_path / "c.npz").train.values.shape == (3, 2)


def test_a_folder_of_images(tmp_path):
    grey = np.linspace(0, 255, 64).astype(np.uint8).reshape(8, 8)
    for number, size in enumerate([(8, 8), (16, 16), (8, 8)]):
        image = Image.fromarray(grey).resize(size).convert("RGB" if number else "L")
        image.save(tmp_path / f"{number}.png")
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(InputError, match=r"1.png is 16x16 and 0.png is 8x8: give one image size"):
        read_tables(tmp_path)
    table = read_tables(tmp_path, image_size=(8, 8)).train
    assert (table.image_shape, table.values.dtype) == ((8, 8), np.uint8)
    np.testing.assert_array_equal(table.values[0], grey.ravel())
    dataset = from_file(tmp_path, image_size=(4, 4))
    assert dataset.image_shape == (4, 4)
    assert not dataset.real_valued
    assert 0.0 <= dataset.train.min() < dataset.train.max() <= 1.0
    (tmp_path / "3.jpg").write_bytes(b"no image either")
    with pytest.raises(InputError, match=r"3.jpg: cannot identify .* replace it or take it away"):
        read_tables(tmp_path, image_size=(8, 8))


def test_what_is_no_table(tmp_path):
    (tmp_path / "folder").mkdir()
    for path, words in (
        (tmp_path / "folder", "holds no .png, .jpg, .jpeg: name a folder of images"),
        (tmp_path / "absent.csv", "does not exist: name a file that does"),
        (tmp_path / "a.xlsx", "give a file that ends in .npy, .npz, .csv, .parquet"),
    ):
        with pytest.raises(InputError) as raised:
            read_tables(path)
        assert words in str(raised.value)
    with pytest.raises(InputError, match="is no folder of images"):
        read_tables(tmp_path / "a.csv", image_size=(8, 8))
