"""The data sets by name: their files, where they are published, how they become a `Dataset`."""

import difflib
import gzip
import importlib.util
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from remjax.data import omniglot as _omniglot
from remjax.data.dataset import Dataset, seeded_split, to_unit_interval
from remjax.data.formats import (
    DamagedFile,
    check_md5,
    parse_amat,
    parse_idx_images,
    read_content,
    read_mat,
)
from remjax.data.sources import DataFile, Places, obtain, places_from
from remjax.errors import InputError


def load(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    download: bool = True,
    seed: int = 0,
) -> Dataset:
    """A data set by its name: digits, mnist, binarized_mnist, omniglot or freyfaces.

    `digits` comes with scikit-learn. The files of the others, under their published names, packed
    or not, are looked up in `data_dir` and in its folder of the data set's name; then among earlier
    downloads; then they are downloaded with a progress bar and checked. Parsed arrays are kept in
    the cache, so that the second time is fast.

    Args:
        name: one of `NAMES`.
        data_dir: a folder of data files. A file missing there is an error. Without the argument
            REMJAX_DATA_DIR names a folder to look in first.
        cache_dir: where downloads and parsed arrays are kept: this, or REMJAX_CACHE_DIR, or the
            system's cache of the user.
        download: whether missing files may be downloaded, from the published places or, if set,
            from the URL in REMJAX_MIRROR, which has a folder for each data set.
        seed: of the split, for the sets that are not published with one (digits, freyfaces,
            omniglot from the PNGs).

    Returns:
        The images as float32 in [0, 1], split as `Dataset.source` says.

    Raises:
        InputError: an unknown name, or a file missing, damaged or of another format.
    """
    if name not in LOADERS:
        near = difflib.get_close_matches(str(name).lower(), NAMES, n=2, cutoff=0.4)
        guess = f"did you mean {' or '.join(near)}? " if near else ""
        raise InputError(f"unknown data set {name!r}; {guess}There are {', '.join(NAMES)}")
    return LOADERS[name](places_from(data_dir, cache_dir, download), seed)


def digits(places: Places, seed: int) -> Dataset:
    """1,797 handwritten digits, 8x8 with 17 grey levels (UCI, embedded in scikit-learn)."""
    del places
    with gzip.open(_digits_file(), "rt", encoding="ascii") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    images = to_unit_interval(table[:, :64], 16)
    train, test = seeded_split(images, 1_500, 297, seed)
    _, test_labels = seeded_split(table[:, 64].astype(int), 1_500, 297, seed)
    source = f"digits of scikit-learn, 1,500 train and 297 test, split by seed {seed}"
    return Dataset(
        "digits", train, train[:0], test, (8, 8), False, False, source, test_labels=test_labels
    )


def _digits_file() -> Path:
    """The file of `sklearn.datasets.load_digits`, which takes two seconds to import."""
    found = importlib.util.find_spec("sklearn")  # finds the package, and does not import it
    if found is None or found.origin is None:
        raise InputError("the digits lie in scikit-learn, which is missing: install it")
    return Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"


def _read_idx(num_images: int, md5: str, path: Path) -> NDArray[np.uint8]:
    content = read_content(path, size=16 + num_images * 784)
    images = parse_idx_images(content)
    if images.shape != (num_images, 28, 28):
        raise DamagedFile(f"images of shape {images.shape} and not {(num_images, 28, 28)}")
    check_md5(content, md5)
    return images


_MNIST_PLACES = (
    "https://storage.googleapis.com/cvdf-datasets/mnist",
    "https://ossci-datasets.s3.amazonaws.com/mnist",
)
_MNIST = (
    DataFile(
        "mnist",
        ("train-images-idx3-ubyte.gz", "train-images-idx3-ubyte"),
        _MNIST_PLACES,
        partial(_read_idx, 60_000, "6bbc9ace898e44ae57da46a324031adb"),
    ),
    DataFile(
        "mnist",
        ("t10k-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte"),
        _MNIST_PLACES,
        partial(_read_idx, 10_000, "2646ac647ad5339dbf082846283269ea"),
    ),
)


def mnist(places: Places, seed: int) -> Dataset:
    """LeCun's MNIST: 60,000 + 10,000 grey digits, 28x28."""
    del seed
    _, arrays, files = obtain(places, _MNIST)
    train, test = (to_unit_interval(array, 255) for array in arrays)
    source = f"{files}; 60,000 train and 10,000 test as published"
    return Dataset("mnist", train, train[:0], test, (28, 28), False, False, source)


def _read_amat(num_images: int, md5: str, path: Path) -> NDArray[np.uint8]:
    content = read_content(path, size=num_images * 2 * 784)
    images = parse_amat(content, 784)
    if len(images) != num_images:
        raise DamagedFile(f"truncated: {len(images):,} images and not {num_images:,}")
    check_md5(content, md5)
    return images


_BINARIZED_MNIST = tuple(
    DataFile(
        "binarized_mnist",
        (f"binarized_mnist_{part}.amat", f"binarized_mnist_{part}.amat.gz"),
        ("https://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist",),
        partial(_read_amat, num_images, md5),
    )
    for part, num_images, md5 in (
        ("train", 50_000, "db28b1a6ae0fe70cbd3da91acf46e477"),
        ("valid", 10_000, "bf37822a04e94123630de6a7dfd9c9ef"),
        ("test", 10_000, "14e41ae11040adba6ab8cb291eda0dd8"),
    )
)


def binarized_mnist(places: Places, seed: int) -> Dataset:
    """MNIST in the fixed binarisation of Larochelle & Murray: 50,000 + 10,000 + 10,000.

    The published test part is sorted by digit, so a subset of it must not be its first rows.
    """
    del seed
    _, arrays, files = obtain(places, _BINARIZED_MNIST)
    train, valid, test = (to_unit_interval(array, 1) for array in arrays)
    source = f"{files}; 50,000 train, 10,000 valid and 10,000 test as published"
    return Dataset("binarized_mnist", train, valid, test, (28, 28), True, False, source)


_CHARDATA = (
    DataFile(
        "omniglot",
        ("chardata.mat",),
        ("https://raw.githubusercontent.com/yburda/iwae/master/datasets/OMNIGLOT",),
        _omniglot.read_chardata,
    ),
)
_CHARACTERS = tuple(
    DataFile(
        "omniglot",
        (f"images_{part}.zip",),
        ("https://raw.githubusercontent.com/brendenlake/omniglot/master/python",),
        partial(_omniglot.read_characters, characters=characters),
        md5,
    )
    for part, characters, md5 in (
        ("background", _omniglot.BACKGROUND, "68d2efa1b9178cc56df9314c21c6e718"),
        ("evaluation", _omniglot.EVALUATION, "6b91aef0f799c5bb55b94e3f2daec811"),
    )
)


def omniglot(places: Places, seed: int) -> Dataset:
    """OMNIGLOT at 28x28: the papers' `chardata.mat` where it is to be had, else the PNGs, resized.

    Both have 24,345 + 8,070 images, but not the same ones: the split of the PNGs (which leaves 45
    of the 32,460 out) is by seed, and the resizing is not that of the file that the
    papers used. Numbers on the PNGs do not compare with the papers'.
    """
    variant, arrays, files = obtain(places, _CHARDATA, _CHARACTERS)
    num_train, num_test = _omniglot.NUM_TRAIN, _omniglot.NUM_TEST
    if variant is _CHARDATA:
        train, test = arrays[0][:num_train], arrays[0][num_train:]
        how = "as published"
    else:
        images = to_unit_interval(np.concatenate(arrays), 225)
        train, test = seeded_split(images, num_train, num_test, seed)
        how = f"by seed {seed}, PNGs area-averaged to 28x28, not the papers' chardata.mat"
    source = f"{files}; {num_train:,} train and {num_test:,} test {how}"
    shape = _omniglot.IMAGE_SHAPE
    return Dataset("omniglot", train, train[:0], test, shape, False, False, source)


def _read_frey(path: Path) -> NDArray[np.uint8]:
    columns = read_mat(path, {"ff": (560, 1_965)})["ff"]
    if columns.dtype != np.uint8:
        raise DamagedFile(f"array 'ff' is of type {columns.dtype} and not uint8")
    return np.ascontiguousarray(columns.T)


_FREY = (
    DataFile(
        "freyfaces",
        ("frey_rawface.mat",),
        ("https://cs.nyu.edu/~roweis/data",),
        _read_frey,
    ),
)


def freyfaces(places: Places, seed: int) -> Dataset:
    """1,965 frames of Brendan Frey's face, 28x20, real-valued (Roweis).

    The frames follow one another in a film, so test images have near copies in the training set.
    """
    _, (frames,), files = obtain(places, _FREY)
    train, test = seeded_split(to_unit_interval(frames, 255), 1_600, 365, seed)
    source = f"{files}; 1,600 train and 365 test, split by seed {seed}"
    return Dataset("freyfaces", train, train[:0], test, (28, 20), False, True, source)


LOADERS: dict[str, Callable[[Places, int], Dataset]] = {
    "digits": digits,
    "mnist": mnist,
    "binarized_mnist": binarized_mnist,
    "omniglot": omniglot,
    "freyfaces": freyfaces,
}
NAMES = tuple(LOADERS)
