"""Which images train and which test: `--split`."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from remjax.data import Dataset
from remjax.errors import InputError


def published_split(dataset: Dataset) -> Dataset:
    """Train and test as published."""
    return dataset


def split_with_validation(dataset: Dataset) -> Dataset:
    """Train on train + valid and test on test: the 60,000 images that MNIST was published with.

    As Salakhutdinov & Murray 2008 train, whose binarised images these are.
    """
    return dataset._replace(
        train=_train_and_valid(dataset, "with_validation"),
        valid=dataset.valid[:0],
        source=f"{dataset.source}; trained on train + valid",
    )


def release_split(dataset: Dataset) -> Dataset:
    """Train on train + valid and test on valid, as the release's loader of fixed MNIST does.

    Every image that is scored has been trained on.
    """
    return dataset._replace(
        train=_train_and_valid(dataset, "rem_release"),
        test=dataset.valid,
        source=f"{dataset.source}; trained on train + valid, tested on valid as in REM's release",
    )


def _train_and_valid(dataset: Dataset, split: str) -> NDArray[np.float32]:
    if len(dataset.valid) == 0:
        raise InputError(
            f"--split={split} needs a validation part, which {dataset.name} has not: "
            "use --dataset=binarized_mnist or --split=published"
        )
    return np.concatenate([dataset.train, dataset.valid])


# Images that the release of IWAE puts aside for validation.
SPLITS_OF_IWAE: Mapping[str, int] = {"mnist": 400, "omniglot": 1345, "binarized_mnist": 0}


def iwae_release_split(dataset: Dataset) -> Dataset:
    """Train on 59,600 images of MNIST or 23,000 of OMNIGLOT, as the release of IWAE does.

    The last 400 images of MNIST are put aside, and the last 1,345 of OMNIGLOT after a permutation
    with seed 123. Fixed MNIST is used as published: its validation part is apart already.
    """
    aside = SPLITS_OF_IWAE.get(dataset.name)
    if aside is None:
        raise InputError(
            f"--split=iwae_release knows mnist, omniglot and binarized_mnist, not {dataset.name}: "
            "use --split=published"
        )
    if aside == 0:
        return dataset
    train = dataset.train
    if dataset.name == "omniglot":
        train = train[np.random.RandomState(123).permutation(len(train))]
    return dataset._replace(
        train=train[:-aside],
        valid=train[-aside:],
        source=f"{dataset.source}; trained on {len(train) - aside} as in IWAE's release",
    )


SPLITS: Mapping[str, Callable[[Dataset], Dataset]] = {
    "published": published_split,
    "with_validation": split_with_validation,
    "rem_release": release_split,
    "iwae_release": iwae_release_split,
}
