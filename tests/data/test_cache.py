"""The cache gives back what was parsed, heals itself, and never stands in the way."""

import os
import pickle

import numpy as np
import pytest

from remjax.data.cache import cached_arrays

ARRAYS = [np.arange(12, dtype=np.uint8).reshape(3, 4), np.linspace(0, 1, 5, dtype=np.float32)]


class Parser:
    """Counts how often it has to work."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return ARRAYS


@pytest.fixture
def parser():
    return Parser()


@pytest.fixture
def sources(tmp_path):
    paths = [tmp_path / "first", tmp_path / "second"]
    for path in paths:
        path.write_bytes(b"content")
    return paths


def fetch(folder, sources, parser):
    arrays = cached_arrays(folder, "name", sources, parser)
    for found, expected in zip(arrays, ARRAYS, strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_second_time_comes_from_disk(tmp_path, sources, parser):
    for _ in range(3):
        fetch(tmp_path / "cache", sources, parser)
    assert parser.calls == 1
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_changed_file_is_parsed_anew(tmp_path, sources, parser):
    fetch(tmp_path / "cache", sources, parser)
    sources[1].write_bytes(b"other content")
    fetch(tmp_path / "cache", sources, parser)
    os.utime(sources[0], ns=(0, 12345))
    fetch(tmp_path / "cache", sources, parser)
    assert parser.calls == 3


def test_broken_entry_is_rebuilt(tmp_path, sources, parser):
    fetch(tmp_path / "cache", sources, parser)
    (entry,) = (tmp_path / "cache").iterdir()
    whole = entry.read_bytes()
    rng = np.random.default_rng(0)
    for size in [0, 1, *rng.integers(0, len(whole), 20)]:
        entry.write_bytes(whole[:size])
        fetch(tmp_path / "cache", sources, parser)
        assert entry.read_bytes() == whole
    assert parser.calls == 23
    for place in rng.integers(0, len(whole), 300):
        entry.write_bytes(whole[:place] + rng.bytes(1) + whole[place + 1 :])
        fetch(tmp_path / "cache", sources, parser)
    assert parser.calls > 100


def test_pickle_in_the_place_of_an_entry_is_not_loaded(tmp_path, sources, parser):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "exploded"),))

    fetch(tmp_path / "cache", sources, parser)
    (entry,) = (tmp_path / "cache").iterdir()
    entry.write_bytes(pickle.dumps(Bomb()))
    fetch(tmp_path / "cache", sources, parser)
    np.savez(entry, np.array([Bomb()]), allow_pickle=True)
    fetch(tmp_path / "cache", sources, parser)
    assert parser.calls == 3
    assert not (tmp_path / "exploded").exists()


def test_cache_that_cannot_be_written_is_no_error(tmp_path, sources, parser):
    (tmp_path / "cache").write_bytes(b"a file where the folder should be")
    for _ in range(2):
        fetch(tmp_path / "cache", sources, parser)
    assert parser.calls == 2


def test_full_disk_leaves_no_partial_entry(tmp_path, sources, parser, monkeypatch):
    def fail(file, *arrays):
        file.write(b"begun")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    fetch(tmp_path / "cache", sources, parser)
    assert list((tmp_path / "cache").iterdir()) == []


def test_parser_error_comes_through_and_leaves_nothing(tmp_path, sources):
    def fail():
        raise ValueError("damaged")

    with pytest.raises(ValueError, match="damaged"):
        cached_arrays(tmp_path / "cache", "name", sources, fail)
    assert not (tmp_path / "cache").exists()
