"""A download is whole or absent: against a server that lies, breaks off or dies."""

import gzip
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from remjax.data import load
from remjax.data.downloads import download
from remjax.data.formats import DamagedFile
from remjax.errors import InputError

from .conftest import send

FREY = "/freyfaces/frey_rawface.mat"


def left_behind(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_good_copy_is_kept_and_used_again(tmp_path, server, frey_file, capsys, monkeypatch):
    server.replies[FREY] = send(frey_file.read_bytes())
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    first = load("freyfaces")
    assert "frey_rawface.mat:" in capsys.readouterr().err
    assert left_behind(tmp_path / "cache" / "downloads") == ["frey_rawface.mat"]
    server.replies.clear()
    second = load("freyfaces")
    np.testing.assert_array_equal(first.train, second.train)
    assert server.requests == [FREY]


def die(handler):
    """Announces more than it sends and resets the connection."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    handler.wfile.write(bytes(100_000))
    handler.wfile.flush()
    handler.connection.setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
    )
    handler.connection.close()


def hang_up(handler):
    """Closes without a word."""
    handler.close_connection = True


@pytest.mark.parametrize(
    ("break_reply", "reason"),
    [
        (lambda whole: send(whole, upto=len(whole) // 2), r"fails \(\w+Error\)"),
        (lambda whole: send(whole, upto=len(whole) // 2, length=False), "damaged file"),
        (lambda whole: send(whole[:5000] + b"????" + whole[5004:]), "damaged file"),
        (lambda whole: send(b"<html>log in first</html>"), "damaged file"),
        (lambda whole: send(b""), "damaged file"),
        (lambda whole: die, r"fails \(\w+Error\)"),
        (lambda whole: hang_up, r"fails \(\w+Error\)"),
        (lambda whole: lambda handler: handler.send_error(503), "answers 503"),
        (lambda whole: lambda handler: handler.send_error(404), "answers 404"),
    ],
    ids=["cut", "unannounced", "changed", "page", "empty", "died", "silent", "busy", "absent"],
)
def test_bad_copy_leaves_nothing(tmp_path, server, frey_file, break_reply, reason):
    whole = frey_file.read_bytes()
    server.replies[FREY] = break_reply(whole)
    with pytest.raises(InputError, match=f"freyfaces: download failed: .*{reason}") as caught:
        load("freyfaces")
    assert "\n" not in str(caught.value)
    assert server.url + FREY in str(caught.value)
    assert left_behind(tmp_path / "cache") == []
    server.replies[FREY] = send(whole)
    assert load("freyfaces").train.shape == (1_600, 560)


def test_no_server_at_all(tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("REMJAX_MIRROR", f"http://127.0.0.1:{free.getsockname()[1]}/")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with pytest.raises(InputError, match=r"fails \(Connect\w+\)"):
            load("freyfaces")
    monkeypatch.setenv("REMJAX_MIRROR", "no-scheme")
    with pytest.raises(InputError, match=r"fails \(MissingSchema\)"):
        load("freyfaces")


def test_next_place_is_tried(tmp_path, server):
    server.replies |= {"/b/file": send(b"bad"), "/c/file": send(b"good")}

    def check(path):
        if path.read_bytes() != b"good":
            raise DamagedFile("bad")

    urls = [f"{server.url}/{place}/file" for place in "abc"]
    path = download(urls, tmp_path / "kept", check, None)
    assert path == tmp_path / "kept" / "file"
    assert path.read_bytes() == b"good"
    assert server.requests == ["/a/file", "/b/file", "/c/file"]
    assert left_behind(tmp_path / "kept") == ["file"]


def test_published_checksum_takes_the_place_of_the_check(tmp_path, server):
    server.replies["/file"] = send(b"x")
    md5 = "9dd4e461268c8034f5c8564e155c67a6"
    url = f"{server.url}/file"
    assert download([url], tmp_path / "good", pytest.fail, md5).read_bytes() == b"x"
    with pytest.raises(InputError, match=f"its md5 is {md5} and not 0"):
        download([url], tmp_path / "bad", pytest.fail, "0" * 32)
    assert left_behind(tmp_path / "bad") == []


def test_cache_that_cannot_be_written_is_named(tmp_path, server, frey_file):
    server.replies[FREY] = send(frey_file.read_bytes())
    (tmp_path / "cache").write_bytes(b"a file where the folder should be")
    with pytest.raises(InputError, match=r"cannot keep a download in .* REMJAX_CACHE_DIR"):
        load("freyfaces")


def test_killed_download_leaves_nothing_that_passes(tmp_path, server, frey_file):
    """A process is killed while the server keeps it waiting in the middle of the file."""
    whole = frey_file.read_bytes()
    killed = []

    def stall(handler):
        send(whole, upto=200_000)(handler)
        handler.wfile.flush()
        deadline = time.monotonic() + 30
        while not killed and time.monotonic() < deadline:
            time.sleep(0.01)

    server.replies[FREY] = stall
    process = subprocess.Popen(
        [sys.executable, "-c", "from remjax.data import load; load('freyfaces')"],
        env=os.environ | {"REMJAX_CACHE_DIR": str(tmp_path / "cache")},
        stderr=subprocess.DEVNULL,
    )
    partial = tmp_path / "cache" / "downloads" / "freyfaces"
    deadline = time.monotonic() + 30
    while not any(path.stat().st_size for path in partial.glob(".partial-*/*")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed.append(True)
    assert not (partial / "frey_rawface.mat").exists()
    server.replies[FREY] = send(whole)
    assert load("freyfaces").train.shape == (1_600, 560)


def test_mirror_may_have_either_name(tmp_path, server, real_data, session_cache):
    """Published are binarized_mnist_*.amat; this mirror has them packed."""
    for path in (real_data / "binarized_mnist").iterdir():
        server.replies[f"/binarized_mnist/{path.name}"] = send(path.read_bytes())
    data = load("binarized_mnist")
    assert "binarized_mnist_train.amat.gz" in data.source
    assert server.requests[:2] == [
        "/binarized_mnist/binarized_mnist_train.amat",
        "/binarized_mnist/binarized_mnist_train.amat.gz",
    ]
    local = load("binarized_mnist", data_dir=real_data, cache_dir=session_cache)
    np.testing.assert_array_equal(data.valid, local.valid)


def test_well_formed_file_of_other_content_is_refused(tmp_path, server, real_data):
    """One grey level of MNIST changed, well packed: only the checksum of the content can tell."""
    name = "t10k-images-idx3-ubyte.gz"
    content = bytearray(gzip.decompress((real_data / "mnist" / name).read_bytes()))
    content[5_000] ^= 1
    train = (real_data / "mnist" / "train-images-idx3-ubyte.gz").read_bytes()
    server.replies["/mnist/train-images-idx3-ubyte.gz"] = send(train)
    server.replies[f"/mnist/{name}"] = send(gzip.compress(bytes(content), 1))
    with pytest.raises(InputError, match="not the published content"):
        load("mnist")
    assert left_behind(tmp_path / "cache") == ["train-images-idx3-ubyte.gz"]
    server.replies[f"/mnist/{name}"] = send((real_data / "mnist" / name).read_bytes())
    assert load("mnist").test.shape == (10_000, 784)
    assert server.requests.count("/mnist/train-images-idx3-ubyte.gz") == 1


def test_second_best_variant_is_downloaded_only_where_the_best_is_not_published(server):
    """OMNIGLOT: a server that is busy must not change which images a user trains on."""
    server.replies["/omniglot/chardata.mat"] = lambda handler: handler.send_error(503)
    with pytest.raises(InputError, match=r"chardata\.mat answers 503"):
        load("omniglot")
    assert server.requests == ["/omniglot/chardata.mat"]
    del server.replies["/omniglot/chardata.mat"]
    with pytest.raises(InputError, match=r"images_background\.zip answers 404"):
        load("omniglot")
