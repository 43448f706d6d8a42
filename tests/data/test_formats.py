"""Each format against files made by hand, whole, cut and changed."""

import gzip
import io
import struct
import zipfile

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from PIL import Image

from remjax.data.formats import (
    DamagedFile,
    check_md5,
    parse_amat,
    parse_idx_images,
    read_content,
    read_mat,
    read_png_members,
)


def idx(images: np.ndarray, magic: int = 2051) -> bytes:
    return struct.pack(">4I", magic, *images.shape) + images.tobytes()


def amat(images: np.ndarray) -> bytes:
    return b"".join(b" ".join(b"%d" % pixel for pixel in row) + b"\n" for row in images)


def png(white: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(white).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_content_is_the_same_plain_and_packed(tmp_path):
    plain, packed = tmp_path / "plain.gz", tmp_path / "packed"
    plain.write_bytes(b"pixels")
    packed.write_bytes(gzip.compress(b"pixels", mtime=0))
    assert read_content(plain, 6) == read_content(packed, 6) == b"pixels"


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_content_longer_than_it_should_be_is_not_unpacked(tmp_path, pack):
    path = tmp_path / "file"
    path.write_bytes(pack(bytes(10_000_000)))
    with pytest.raises(DamagedFile, match="more than the 100 bytes expected"):
        read_content(path, 100)


@pytest.mark.parametrize("content", [b"", gzip.compress(b"", mtime=0)])
def test_empty_content_is_refused(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match="empty"):
        read_content(path, 100)


def test_every_cut_of_a_gzip_file_is_noticed(tmp_path):
    path, whole = tmp_path / "file", gzip.compress(bytes(range(200)))
    for size in range(2, len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(DamagedFile, match=r"truncated|corrupted"):
            read_content(path, 200)


def test_every_changed_byte_of_a_gzip_file_is_noticed_or_harmless(tmp_path, rng):
    content = rng.bytes(200)
    path, whole = tmp_path / "file", gzip.compress(content, mtime=0)
    harmless = 0
    for place in range(2, len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            assert read_content(path, 200) == content
            harmless += 1
        except DamagedFile:
            continue
    assert harmless <= 6  # the time stamp and such in the header


def test_md5_of_other_content_is_refused():
    check_md5(b"", "d41d8cd98f00b204e9800998ecf8427e")
    with pytest.raises(DamagedFile, match="not the published content"):
        check_md5(b"x", "d41d8cd98f00b204e9800998ecf8427e")


def test_idx_images_come_back(rng):
    images = rng.integers(0, 256, (5, 3, 4), dtype=np.uint8)
    np.testing.assert_array_equal(parse_idx_images(idx(images)), images)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"short", "16-byte idx header"),
        (idx(np.zeros((2, 3, 4), np.uint8), magic=2049), "magic number 2049"),
        (idx(np.zeros((2, 3, 4), np.uint8))[:-1], "truncated: 39 bytes .* promises 40"),
        (idx(np.zeros((2, 3, 4), np.uint8)) + b"x", "too long"),
        (b"<!DOCTYPE html><html></html>", "no idx file"),
    ],
)
def test_wrong_idx_is_refused(content, reason):
    with pytest.raises(DamagedFile, match=reason):
        parse_idx_images(content)


def test_amat_rows_come_back(rng):
    images = rng.integers(0, 2, (7, 784), dtype=np.uint8)
    np.testing.assert_array_equal(parse_amat(amat(images), 784), images)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"0 1 0\n0 1", "not whole lines of 6"),
        (b"0 1 0\n0 2 0\n", "line 2 holds something other"),
        (b"0 1 0\n0 1 0 ", "single spaces"),
        (b"0,1,0\n", "single spaces"),
        (b"<html>", "line 1"),
    ],
)
def test_wrong_amat_is_refused(content, reason):
    with pytest.raises(DamagedFile, match=reason):
        parse_amat(content, 3)


@pytest.mark.parametrize("compression", [False, True])
def test_mat_arrays_come_back(tmp_path, rng, compression):
    path, array = tmp_path / "a.mat", rng.random((4, 6))
    scipy.io.savemat(path, {"ff": array, "other": "text"}, do_compression=compression)
    np.testing.assert_array_equal(read_mat(path, {"ff": (4, 6)})["ff"], array)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"gg": np.zeros((4, 6))}, r"no array 'ff' in it, only \['gg'\]"),
        ({"ff": np.zeros((6, 4))}, r"shape \(6, 4\) and not \(4, 6\)"),
        ({"ff": np.array([["abcdef"]] * 4).astype("U6")}, "shape|numeric"),
        ({"ff": np.full((4, 6), "cell", object)}, "numeric"),
        ({"ff": scipy.sparse.eye_array(4, 6)}, "numeric"),
    ],
)
def test_wrong_mat_is_refused(tmp_path, content, reason):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, content)
    with pytest.raises(DamagedFile, match=reason):
        read_mat(path, {"ff": (4, 6)})


@pytest.mark.parametrize("compression", [False, True])
def test_broken_mat_is_refused_or_keeps_its_shape(tmp_path, rng, compression):
    path, broken = tmp_path / "a.mat", tmp_path / "b.mat"
    scipy.io.savemat(path, {"ff": rng.random((4, 6))}, do_compression=compression)
    whole = path.read_bytes()
    for size in rng.integers(0, len(whole), 60):
        broken.write_bytes(whole[:size])
        with pytest.raises(DamagedFile, match=r"empty|truncated") as caught:
            read_mat(broken, {"ff": (4, 6)})
        assert "\n" not in str(caught.value)
    for place in rng.integers(0, len(whole), 100):
        broken.write_bytes(whole[:place] + rng.bytes(1) + whole[place + 1 :])
        try:
            assert read_mat(broken, {"ff": (4, 6)})["ff"].shape == (4, 6)
        except DamagedFile:
            continue


@pytest.fixture
def drawings(rng):
    return {f"{n:04d}_01.png": rng.random((5, 11)) < 0.5 for n in range(6)}


@pytest.fixture
def drawings_zip(tmp_path, drawings):
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, white in reversed(drawings.items()):
            archive.writestr(f"images/folder/{name}", png(white))
        archive.writestr("__MACOSX/images/folder/._0000_01.png", b"not an image")
        archive.writestr("images/readme.txt", b"not an image")
    return path


def test_pngs_come_in_the_order_of_the_names(drawings_zip, drawings):
    found = list(read_png_members(drawings_zip, list(drawings), (5, 11)))
    for white, expected in zip(found, drawings.values(), strict=True):
        assert white.dtype == bool
        np.testing.assert_array_equal(white, expected)


def test_zip_with_other_images_is_refused(drawings_zip, drawings):
    with pytest.raises(DamagedFile, match=r"'0009_01\.png' is missing"):
        list(read_png_members(drawings_zip, [*drawings, "0009_01.png"], (5, 11)))
    with pytest.raises(DamagedFile, match=r"'0000_01\.png' is unexpected"):
        list(read_png_members(drawings_zip, list(drawings)[1:], (5, 11)))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no image", "no PNG of 5x11"),
        (png(np.ones((11, 5), bool)), "no PNG of 5x11"),
        (png(np.zeros((5, 11), np.uint8)), "mode L"),
        (png(np.ones((5, 11), bool))[:-20], r"image 0\.png: "),
        (bytes(2 << 20), "takes 2,097,152 bytes"),
    ],
)
def test_wrong_png_is_refused(tmp_path, content, reason):
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.png", content)
    with pytest.raises(DamagedFile, match=reason):
        list(read_png_members(path, ["0.png"], (5, 11)))


def test_broken_zip_is_refused_or_harmless(drawings_zip, drawings, tmp_path, rng):
    broken, whole = tmp_path / "broken.zip", drawings_zip.read_bytes()
    for size in [0, *rng.integers(1, len(whole), 40)]:
        broken.write_bytes(whole[:size])
        with pytest.raises(DamagedFile, match=r"empty|no zip"):
            list(read_png_members(broken, list(drawings), (5, 11)))
    for place in rng.integers(0, len(whole), 400):
        broken.write_bytes(whole[:place] + rng.bytes(1) + whole[place + 1 :])
        try:
            found = list(read_png_members(broken, list(drawings), (5, 11)))
        except DamagedFile as error:
            reason = str(error)
        else:
            reason = ""
            np.testing.assert_array_equal(found, list(drawings.values()))
        assert "\n" not in reason
