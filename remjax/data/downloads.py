"""Downloads that are whole or absent: to a temporary name, checked, and only then to their own."""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from remjax.data.formats import DamagedFile
from remjax.errors import InputError


class NotPublished(InputError):
    """Every place answered that it has no such file."""


def download(
    urls: Sequence[str], folder: Path, check: Callable[[Path], object], md5: str | None
) -> Path:
    """Fetches a file from the first of several places that sends a good copy, with a progress bar.

    Args:
        urls: the places, tried in order; a copy keeps the last part of its URL as its name.
        folder: where to put it; made when needed.
        check: raises `DamagedFile` where the content is not whole and right.
        md5: checksum of the file as sent, which then takes the place of `check`.

    Returns:
        The path of the checked file.

    Raises:
        NotPublished: every place answered 404.
        InputError: no place sent a good copy, or the folder cannot be written.
    """
    import requests  # slow to import, and most loads download nothing

    failures: list[str] = []
    absent = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # In the same folder, so that the last step is a rename within one file system.
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as partial:
            for url in urls:
                path = Path(partial) / url.rsplit("/", 1)[1]
                try:
                    _fetch(url, path)
                    if md5 is None:
                        check(path)
                    else:
                        _check_md5(path, md5)
                except requests.HTTPError as error:
                    status = None if error.response is None else error.response.status_code
                    absent += status == 404
                    failures.append(f"{url} answers {status}")
                except requests.RequestException as error:
                    failures.append(f"{url} fails ({type(error).__name__})")
                except DamagedFile as error:
                    failures.append(f"{url} sent a damaged file ({error})")
                else:
                    return path.replace(folder / path.name)
    except OSError as error:
        raise InputError(
            f"cannot keep a download in {folder}: {error.strerror or error}; free space there, or"
            " name another folder by cache_dir or REMJAX_CACHE_DIR"
        ) from error
    raise (NotPublished if absent == len(urls) else InputError)(
        f"{folder.name}: download failed: {'; '.join(failures)}; try again later, or get the file"
        " by hand and name its folder as data_dir"
    )


def _fetch(url: str, path: Path) -> None:
    import pooch
    from tqdm import tqdm

    # Pooch asks for the truth of the bar, which is that of its total, before it sets the total. Its
    # annotation knows bool only.
    # At a terminal alone, and gone when it ends: what failed is one line.
    options: dict[str, Any] = {"unit": "B", "unit_scale": True, "leave": False, "disable": None}
    with tqdm(desc=path.name, total=1, **options) as bar:
        fetch = pooch.HTTPDownloader(progressbar=cast(Any, bar), chunk_size=1 << 16)
        fetch(url, os.fspath(path), None)


def _check_md5(path: Path, md5: str) -> None:
    import pooch

    found = pooch.file_hash(os.fspath(path), alg="md5")
    if found != md5:
        raise DamagedFile(f"its md5 is {found} and not {md5}")
