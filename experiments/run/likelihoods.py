"""The table from --likelihood to a likelihood of the library, and the choice of `auto`."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from experiments.run.data_facts import DataFacts
from remjax.errors import InputError
from remjax.models import (
    Likelihood,
    bernoulli_likelihood,
    categorical_likelihood,
    choose_likelihood,
    gaussian_likelihood,
    negative_binomial_likelihood,
    poisson_likelihood,
)

AUTO = "auto"


def _of_categories(mean: np.ndarray, facts: DataFacts) -> Likelihood:
    columns = facts.columns
    if columns is None or not columns.categories:
        raise InputError(f"--likelihood=categorical is for a table, which {facts.name} is not")
    return categorical_likelihood(mean, [len(values) for values in columns.categories])


# From the means at which the output starts, and the facts of the data.
LIKELIHOODS: Mapping[str, Callable[[np.ndarray, DataFacts], Likelihood]] = {
    "bernoulli": lambda mean, _: bernoulli_likelihood(mean),
    "gaussian": lambda mean, facts: gaussian_likelihood(mean, facts.scale),
    "poisson": lambda mean, _: poisson_likelihood(mean),
    "negative_binomial": lambda mean, facts: negative_binomial_likelihood(mean, facts.scale),
    "categorical": _of_categories,
}
NAMES = (AUTO, *LIKELIHOODS)


class Chosen(NamedTuple):
    """A likelihood by its name.

    Attributes:
        name: in `LIKELIHOODS`.
        why: as the end of "gaussian: ...".
    """

    name: str
    why: str

    def __str__(self) -> str:
        """As it is printed."""
        return f"{self.name} likelihood ({self.why})"


def choose(asked: str, facts: DataFacts) -> Chosen:
    """The likelihood that is asked for, or the one that goes with the data."""
    if asked != AUTO:
        return Chosen(asked, "as asked for")
    found = choose_likelihood(facts.values, grey=not facts.real_valued)
    return Chosen(found.name, found.why)
