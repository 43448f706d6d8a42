"""Where a data set's files are: a data directory, earlier downloads, or the published places."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from numpy.typing import NDArray

from remjax.data.cache import cached_arrays
from remjax.data.downloads import NotPublished, download
from remjax.data.formats import DamagedFile
from remjax.errors import InputError


class DataFile(NamedTuple):
    """One file of a data set.

    Attributes:
        dataset: name of the data set, and of its folder in a data directory, cache or mirror.
        names: the file names accepted, the published one first. Mirrors may have any of them.
        places: the URLs of the folders in which the file is published.
        read: path -> its array; raises `DamagedFile` unless the content is whole and right.
        md5: of the file as it is published, where a good copy may differ from it in packing only
            and `read` cannot tell; checked on downloads from the published places.
    """

    dataset: str
    names: tuple[str, ...]
    places: tuple[str, ...]
    read: Callable[[Path], NDArray]
    md5: str | None = None


class Places(NamedTuple):
    """Where `load` may look, from its arguments and the environment.

    Attributes:
        data_dir: a folder of files, or None.
        asked: whether the caller named `data_dir`; then a missing file is an error. A folder from
            the environment only comes first.
        cache_dir: where downloads and parsed arrays are kept.
        download: whether missing files may be downloaded.
    """

    data_dir: Path | None
    asked: bool
    cache_dir: Path
    download: bool


def places_from(
    data_dir: str | os.PathLike[str] | None,
    cache_dir: str | os.PathLike[str] | None,
    download: bool,
) -> Places:
    """The arguments of `load`, completed from REMJAX_DATA_DIR, REMJAX_CACHE_DIR and the system."""
    folder = data_dir or os.environ.get("REMJAX_DATA_DIR") or None
    cache = cache_dir or os.environ.get("REMJAX_CACHE_DIR") or None
    if cache is None:
        import pooch  # slow to import, and it knows where this system keeps caches

        cache = pooch.os_cache("remjax")
    return Places(
        data_dir=None if folder is None else Path(folder).expanduser(),
        asked=bool(data_dir),
        cache_dir=Path(cache).expanduser(),
        download=download,
    )


def obtain(
    places: Places, *variants: Sequence[DataFile]
) -> tuple[Sequence[DataFile], list[NDArray], str]:
    """The arrays of a data set's files, from the first place that has all files of a variant.

    Args:
        places: where to look.
        variants: alternative sets of files for one data set, the preferred one first.

    Returns:
        The variant found, the array of each of its files, and the names of the files found.

    Raises:
        InputError: a file is missing, damaged, or cannot be downloaded.
    """
    variant, paths = _locate(places, variants)

    def read_all() -> list[NDArray]:
        return [_read(file, path) for file, path in zip(variant, paths, strict=True)]

    arrays = cached_arrays(places.cache_dir / "parsed", variant[0].dataset, paths, read_all)
    return variant, arrays, ", ".join(path.name for path in paths)


def _locate(
    places: Places, variants: Sequence[Sequence[DataFile]]
) -> tuple[Sequence[DataFile], list[Path]]:
    name = variants[0][0].dataset
    downloads = places.cache_dir / "downloads"
    if places.data_dir is not None:
        _check_folder(places.data_dir, "data_dir" if places.asked else "REMJAX_DATA_DIR")
        found = _find_variant(places.data_dir, variants)
        if found is not None:
            return found
        if places.asked:
            raise InputError(
                f"{name}: neither {places.data_dir} nor {places.data_dir / name} holds"
                f" {_missing(places.data_dir, variants)}; put it there, or leave out data_dir to"
                " download it"
            )
    found = _find_variant(downloads, variants)
    if found is not None:
        return found
    if not places.download:
        raise InputError(
            f"{name}: {downloads / name} does not hold {_missing(downloads, variants)}; allow the"
            " download, or name a data_dir that holds it"
        )
    for variant in variants[:-1]:
        try:
            return variant, [_downloaded(downloads, file) for file in variant]
        except NotPublished:
            continue
    return variants[-1], [_downloaded(downloads, file) for file in variants[-1]]


def _check_folder(folder: Path, origin: str) -> None:
    if not os.path.isdir(folder):
        state = "is not a folder" if os.path.exists(folder) else "does not exist"
        raise InputError(
            f"{origin} {folder} {state}; name the folder that holds the data files, or"
            " leave it out to download them"
        )


def _find_variant(
    folder: Path, variants: Sequence[Sequence[DataFile]]
) -> tuple[Sequence[DataFile], list[Path]] | None:
    for variant in variants:
        paths = [path for file in variant if (path := _find(folder, file)) is not None]
        if len(paths) == len(variant):
            return variant, paths
    return None


def _find(folder: Path, file: DataFile) -> Path | None:
    for parent in (folder / file.dataset, folder):
        for name in file.names:
            # Not Path.exists, which raises where a folder may not be entered.
            if os.path.exists(parent / name):
                return parent / name
    return None


def _missing(folder: Path, variants: Sequence[Sequence[DataFile]]) -> str:
    return ", or else ".join(
        " and ".join(_either(file.names) for file in variant if _find(folder, file) is None)
        for variant in variants
    )


def _either(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} (or {', '.join(names[1:])})"


def _read(file: DataFile, path: Path) -> NDArray:
    if not path.is_file():
        raise InputError(f"{path} is not a file; put the published {path.name} in its place")
    try:
        return file.read(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; make it readable") from error
    except DamagedFile as error:
        raise InputError(
            f"{path}: {error}; replace it with the published file, or remove it and leave out"
            " data_dir to download it"
        ) from error


def _downloaded(downloads: Path, file: DataFile) -> Path:
    found = _find(downloads, file)
    if found is not None:
        return found
    mirror = os.environ.get("REMJAX_MIRROR")
    if mirror:
        urls = [f"{mirror.rstrip('/')}/{file.dataset}/{name}" for name in file.names]
        return download(urls, downloads / file.dataset, file.read, None)
    urls = [f"{place}/{file.names[0]}" for place in file.places]
    return download(urls, downloads / file.dataset, file.read, file.md5)
