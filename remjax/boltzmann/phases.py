"""What a negative phase is: where the samples of a machine come from, update by update."""

import abc
import dataclasses
from typing import NamedTuple

from jaxtyping import Array, Float, Key, PyTree

from remjax.boltzmann.likelihood import Sample
from remjax.boltzmann.rbm import RBM
from remjax.types import Batch, Metrics

State = PyTree[Array]


class Negative(NamedTuple):
    """What a negative phase knows of the machine.

    Attributes:
        sample: of this device; the weights are of mean one over all chains of all devices.
        log_z: log Z of the machine, nats, the same on all devices; None where the phase does not
            estimate it.
    """

    sample: Sample
    log_z: Float[Array, ""] | None = None


# The samples, the state after them, and what to report.
Advanced = tuple[Negative, State, Metrics]


class NegativePhase(abc.ABC):
    """How the samples come about; the state is what persists from one update to the next."""

    @property
    def chains_to_divide(self) -> int:
        """Chains that devices along the mesh axis `particles` have shares of; 0 for none."""
        return 0

    @property
    def needs_data(self) -> bool:
        """Whether its chains begin at datapoints: it serves the machine of the data alone."""
        return False

    @abc.abstractmethod
    def init(self, key: Key[Array, ""], machine: RBM) -> State:
        """The state before the first update: numbers, chains on an axis of their own."""

    @abc.abstractmethod
    def advance(self, key: Key[Array, ""], machine: RBM, state: State, batch: Batch) -> Advanced:
        """The samples of one update, the state after it, and what to report. No gradient passes.

        Args:
            key: of the update, the same on all devices. Consumed.
            machine: at the parameters before the update.
            state: the same on all devices.
            batch: the datapoints that this device has; their places name their random numbers.
        """


@dataclasses.dataclass(frozen=True)
class PhaseOfChains(NegativePhase):
    """A phase with chains of its own, in strands."""

    num_chains: int
    num_sweeps: int

    @property
    def chains_to_divide(self) -> int:
        """All."""
        return self.num_chains
