"""The ways to train a denoising model as values, each of which makes its estimator.

They differ in what the model learns to undo: a corruption, those along a walk, or a learned one.
"""

import abc
import dataclasses

from jaxtyping import PyTree

from remjax.distributions.corruptions import Corruption
from remjax.errors import InputError
from remjax.methods.denoising import make_denoising_estimator
from remjax.methods.denoising_chains import check_steps
from remjax.methods.learned_corruptions import make_learned_denoising_estimator
from remjax.types import DenoisingModel, Estimator


class DenoisingMethod(abc.ABC):
    """A way to train a denoising model under any corruption; frozen, equal where made alike."""

    @property
    @abc.abstractmethod
    def corruptions_scored(self) -> int:
        """Corruptions of each datapoint that an update scores."""

    @abc.abstractmethod
    def make_estimator(self, model: DenoisingModel, corruption: Corruption) -> Estimator:
        """The estimator; its eta is what it learns of the corruption, () for nothing.

        Args:
            model: p_theta(x | zbar).
            corruption: q(zbar | x), or where a learned one starts.

        Raises:
            InputError: for a corruption that the method cannot learn.
        """

    def corruption_at(self, corruption: Corruption, eta: PyTree) -> Corruption:
        """The corruption after training, which the chain that samples needs: the one given."""
        del eta
        return corruption


def denoising(num_corruptions: int = 1) -> DenoisingMethod:
    """The objective of a denoising auto-encoder, Eq. 9 of Bachman & Precup 2015.

    Args:
        num_corruptions: K, corruptions of each datapoint in an update.
    """
    return FixedCorruption(_count(num_corruptions), num_steps=1)


def walkback(num_steps: int = 5, num_corruptions: int = 1) -> DenoisingMethod:
    """Walkback training (Bengio et al. 2013, Algorithm 1, with a fixed number of steps).

    Args:
        num_steps: corruptions that the chain of the model passes through from each datapoint.
        num_corruptions: K, corruptions of each datapoint in an update.
    """
    check_steps(num_steps=num_steps)
    return FixedCorruption(_count(num_corruptions), num_steps)


def learned_corruption(num_corruptions: int = 2, information: float = 1.0) -> DenoisingMethod:
    """A corruption whose strength is learned, with a warning: `make_learned_denoising_estimator`.

    Args:
        num_corruptions: K, corruptions of each datapoint in an update.
        information: what the mutual information of x and zbar counts in the loss of the strength: 1
            for the bound, 0 for Eq. 9.
    """
    if not 0.0 <= information < float("inf"):
        raise InputError(f"information is {information}: give 1 for the bound, or 0 for Eq. 9")
    return LearnedCorruption(_count(num_corruptions), information)


@dataclasses.dataclass(frozen=True)
class FixedCorruption(DenoisingMethod):
    """As `denoising` and `walkback` make it."""

    num_corruptions: int
    num_steps: int

    def __str__(self) -> str:
        if self.num_steps == 1:
            return "zbar ~ q(. | x)"
        return f"{self.num_steps} zbar of the chain from x"

    @property
    def corruptions_scored(self) -> int:
        """Those of all steps of all chains."""
        return self.num_corruptions * self.num_steps

    def make_estimator(self, model: DenoisingModel, corruption: Corruption) -> Estimator:
        """`make_denoising_estimator`."""
        return make_denoising_estimator(
            model, corruption, num_particles=self.num_corruptions, num_steps=self.num_steps
        )


@dataclasses.dataclass(frozen=True)
class LearnedCorruption(DenoisingMethod):
    """As `learned_corruption` makes it."""

    num_corruptions: int
    information: float

    def __str__(self) -> str:
        loss = f" + {self.information:g} I" if self.information else ""
        return f"zbar ~ q(. | x), whose strength descends -log p{loss}"

    @property
    def corruptions_scored(self) -> int:
        """All."""
        return self.num_corruptions

    def make_estimator(self, model: DenoisingModel, corruption: Corruption) -> Estimator:
        """`make_learned_denoising_estimator`."""
        if corruption.is_discrete and self.num_corruptions < 2:
            raise InputError(
                f"num_corruptions is {self.num_corruptions}: each draw of "
                f"{type(corruption).__name__} is compared with the others of its datapoint, so "
                "give 2 or more"
            )
        return make_learned_denoising_estimator(
            model,
            corruption,
            num_particles=self.num_corruptions,
            information=self.information,
        )

    def corruption_at(self, corruption: Corruption, eta: PyTree) -> Corruption:
        """The corruption of the same kind at what was learned."""
        return corruption.at(eta)


def _count(num_corruptions: int) -> int:
    if num_corruptions < 1:
        raise InputError(f"num_corruptions is {num_corruptions}: give 1 or more")
    return num_corruptions
