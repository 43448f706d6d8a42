"""The images that a run is trained on and evaluated on, and the bits of grey ones."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.run.choices import look_up
from experiments.run.likelihoods import AUTO
from experiments.run.settings import Settings
from experiments.run.splits import SPLITS
from remjax.data import Dataset, from_file, load
from remjax.data.binarization import fixed
from remjax.data.tables import as_they_are, categorical, standardized
from remjax.errors import InputError

# All runs are trained on and scored on the same bits of an image.
_KEY_BITS = 1_000_001
_BLOCK = 1_000


def images_of(settings: Settings) -> Dataset:
    """The images that are trained on, and those of the test.

    Raises:
        InputError: for data that cannot be had, or too few of them.
    """
    dataset = look_up(SPLITS, "split", settings.split)(_found(settings))
    if settings.likelihood != AUTO:
        # Bernoullis have grey values drawn as bits; what others have is measured.
        dataset = dataset._replace(real_valued=settings.likelihood != "bernoulli")
    train = evenly_spaced(dataset.train, settings.train_size, "train_size")
    if settings.batch_size > len(train):
        raise InputError(
            f"--batch_size={settings.batch_size} is more than the {len(train)} training images of "
            f"{dataset.name}: lower it"
        )
    dataset = dataset._replace(train=train)
    if settings.binarization == "fixed" and not (dataset.binary or dataset.real_valued):
        # Once for all: what is trained on is what is evaluated.
        bits = {part: _bits_of(dataset, getattr(dataset, part)) for part in ("train", "test")}
        dataset = dataset._replace(binary=True, **bits)
    return dataset


def _found(settings: Settings) -> Dataset:
    """The set of that name, or the rows of that file."""
    if not settings.is_file:
        return _load(settings.dataset, settings.data_dir, settings.split_seed)
    preparation = standardized if settings.standardize else as_they_are
    if settings.likelihood == "categorical":
        preparation = categorical
    return _read(
        str(Path(settings.dataset).expanduser()),
        columns=settings.column_names,
        condition=settings.condition_names,
        image_size=settings.size_of_images,
        preparation=preparation,
        missing=settings.missing == "marginalize",
        test_fraction=settings.test_fraction,
        split_seed=settings.split_seed,
    )


# A training run reads it twice: before anything is written, and when it begins.
_read = functools.lru_cache(maxsize=1)(from_file)


@functools.lru_cache(maxsize=1)  # the cells of a sweep have it in common
def _load(name: str, data_dir: str | None, seed: int) -> Dataset:
    return load(name, data_dir=data_dir, seed=seed)


def evaluation_images(dataset: Dataset, part: str, size: int | None) -> np.ndarray:
    """Evenly spaced images of "train" or "test", their bits drawn once for all runs."""
    images = getattr(dataset, part)
    return as_evaluated(dataset, images, spaced_index(len(images), size))


def as_evaluated(dataset: Dataset, images: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Some of the images of a data set: bits of grey ones, others as they are."""
    if dataset.binary or dataset.real_valued:
        return images[index]
    return _bits_of(dataset, images[index], index)


def _bits_of(dataset: Dataset, images: np.ndarray, index: np.ndarray | None = None) -> np.ndarray:
    """Bits of images, of which these are the places; a condition behind them stays as it is."""
    grey = dataset.without_condition(images)
    return np.concatenate([fixed_bits(grey, index), images[:, grey.shape[1] :]], axis=1)


def fixed_bits(images: np.ndarray, index: np.ndarray | None = None) -> np.ndarray:
    """Bits of images, by default the first; one of the same place has the same in every run."""
    index = np.arange(len(images)) if index is None else index
    bits = np.empty_like(images)
    # The random numbers of all images at once would take several times their memory.
    for start in range(0, len(index), _BLOCK):
        some = slice(start, start + _BLOCK)
        places, grey = jnp.asarray(index[some]), jnp.asarray(images[some])
        bits[some] = fixed(jax.random.key(_KEY_BITS), 0, 0, places, grey)
    return bits


def evenly_spaced(images: np.ndarray, size: int | None, flag: str) -> np.ndarray:
    """`size` rows (None or 0: all) from the first to the last.

    Published sets may be sorted by class, so that their first rows mislead.
    """
    if size and size > len(images):
        raise InputError(f"--{flag}={size} is more than the {len(images)} images: lower it")
    return images[spaced_index(len(images), size)] if size else images


def spaced_index(count: int, size: int | None) -> np.ndarray:
    """The places that are chosen; all of them where there are no more."""
    size = min(size, count) if size else count
    return np.arange(size) * count // size
