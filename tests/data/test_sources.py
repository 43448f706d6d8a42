"""Files are found where they should be, and a missing one is named with its mend."""

import gzip
import shutil

import numpy as np
import pytest

from remjax.data import load
from remjax.data.sources import DataFile, obtain, places_from
from remjax.errors import InputError


def toy(name, *more_names, md5=None, places=()):
    """A file of bytes that is read as they are."""
    return DataFile(
        "toy", (name, *more_names), places, lambda path: np.frombuffer(path.read_bytes(), "u1"), md5
    )


FIRST, SECOND, SINGLE = toy("first", "first.gz"), toy("second"), toy("single")


def find(places, *variants):
    variant, arrays, files = obtain(places, *variants)
    return variant, [bytes(array) for array in arrays], files


@pytest.mark.parametrize("folder", ["", "toy"])
def test_data_dir_may_be_flat_or_have_folders(tmp_path, folder):
    (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / folder / "first.gz").write_bytes(b"1")
    (tmp_path / folder / "second").write_bytes(b"2")
    found = find(places_from(tmp_path, None, True), (FIRST, SECOND))
    assert found == ((FIRST, SECOND), [b"1", b"2"], "first.gz, second")


def test_first_whole_variant_is_taken(tmp_path):
    (tmp_path / "first").write_bytes(b"1")
    (tmp_path / "single").write_bytes(b"0")
    places = places_from(tmp_path, None, True)
    assert find(places, (FIRST, SECOND), (SINGLE,))[0] == (SINGLE,)
    (tmp_path / "second").write_bytes(b"2")
    assert find(places, (FIRST, SECOND), (SINGLE,))[0] == (FIRST, SECOND)


def test_missing_file_in_data_dir_is_named_and_not_downloaded(tmp_path, server):
    (tmp_path / "first").write_bytes(b"1")
    with pytest.raises(InputError) as caught:
        find(places_from(tmp_path, None, True), (SINGLE,), (FIRST, SECOND))
    assert str(caught.value) == (
        f"toy: neither {tmp_path} nor {tmp_path / 'toy'} holds single, or else second; put it"
        " there, or leave out data_dir to download it"
    )
    assert server.requests == []


def test_data_dir_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(InputError, match=f"data_dir {tmp_path / 'no'} does not exist"):
        load("mnist", data_dir=tmp_path / "no")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is not a folder"):
        load("mnist", data_dir=tmp_path / "file")


def test_environment_names_a_folder_to_look_in_first(tmp_path, monkeypatch, frey_file, server):
    monkeypatch.setenv("REMJAX_DATA_DIR", str(frey_file.parent))
    assert load("freyfaces").train.shape == (1_600, 560)
    with pytest.raises(InputError, match="mnist: download failed"):
        load("mnist")
    assert server.requests
    monkeypatch.setenv("REMJAX_DATA_DIR", str(tmp_path / "no"))
    with pytest.raises(InputError, match=r"REMJAX_DATA_DIR .* does not exist"):
        load("freyfaces")


def test_argument_goes_before_the_environment(tmp_path, monkeypatch, frey_file):
    monkeypatch.setenv("REMJAX_DATA_DIR", str(frey_file.parent))
    monkeypatch.setenv("REMJAX_CACHE_DIR", str(tmp_path / "unused"))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match=r"holds frey_rawface\.mat; put it there"):
        load("freyfaces", data_dir=empty)
    load("freyfaces", cache_dir=tmp_path / "used")
    assert (tmp_path / "used" / "parsed").is_dir()
    assert not (tmp_path / "unused").exists()


def test_download_may_be_forbidden(tmp_path, server):
    with pytest.raises(InputError, match="allow the download, or name a data_dir"):
        load("mnist", download=False)
    assert server.requests == []


def test_earlier_downloads_need_no_server(tmp_path, frey_file):
    folder = tmp_path / "cache" / "downloads" / "freyfaces"
    folder.mkdir(parents=True)
    shutil.copy(frey_file, folder)
    assert load("freyfaces", download=False).test.shape == (365, 560)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("mnist", "train-images-idx3-ubyte"),
        ("binarized_mnist", "binarized_mnist_train.amat"),
        ("freyfaces", "frey_rawface.mat"),
        ("omniglot", "chardata.mat"),
        ("omniglot", "images_background.zip"),
    ],
)
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "is not a file"),
        (b"", "empty"),
        (b"<!DOCTYPE html><html>Not found</html>\n", "truncated|no idx"),
        (gzip.compress(b"0 1 0\n", mtime=0), "truncated"),
        (gzip.compress(bytes(1000), mtime=0)[:-9], "truncated"),
    ],
)
def test_wrong_file_is_named_in_one_line(tmp_path, name, file, content, reason):
    others = {
        "mnist": ["t10k-images-idx3-ubyte"],
        "binarized_mnist": ["binarized_mnist_valid.amat", "binarized_mnist_test.amat"],
        "freyfaces": [],
        "omniglot": ["images_evaluation.zip"],
    }
    for other in others[name]:
        (tmp_path / other).touch()
    if content is None:
        (tmp_path / file).mkdir()
    else:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(InputError, match=reason) as caught:
        load(name, data_dir=tmp_path)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / file))
    assert "\n" not in message
    assert not (tmp_path / "cache").exists()


def test_file_that_cannot_be_read_is_named(tmp_path, frey_file, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "first").touch()
    file = FIRST._replace(read=refuse)
    with pytest.raises(InputError, match="first: Permission denied; make it readable"):
        find(places_from(tmp_path, None, True), (file,))
