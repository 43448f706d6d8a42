"""The settings of figures that are made of what a model draws: how many draws, by which chains."""

import dataclasses

from experiments.run.fields import Checked, require_positive, setting
from remjax.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplingSettings(Checked):
    """The settings of a run whose model is drawn from by Markov chains."""

    csl_draws: str = setting(
        "0",
        "draws of the conservative sampling-based log-likelihood (CSL), as 100,1000,10000 for "
        "three figures; 0 for none",
        again="draws of the conservative sampling-based log-likelihood, as 100,1000; 0 for none",
    )
    csl_chains: int = setting(
        100,
        "chains, begun at noise, that the draws of the CSL are states of",
        again="chains that the draws of the CSL are states of",
    )
    csl_every: int = setting(
        10, "steps of a chain from one draw to the next", again="steps from one draw to the next"
    )
    csl_burn_in: int = setting(
        1000,
        "steps of a chain before its first draw",
        again="steps of a chain before its first draw",
    )

    @property
    def draw_counts(self) -> tuple[int, ...]:
        """The numbers of draws that have a figure each, rising; () for none."""
        parts = self.csl_draws.split(",")
        if parts == ["0"]:
            return ()
        counts = [int(part) if part.isdecimal() and len(part) < 10 else 0 for part in parts]
        if min(counts) < 1 or counts != sorted(set(counts)):
            raise InputError(
                f"--csl_draws={self.csl_draws} cannot be: give a positive number, or several that "
                "rise, as 100,1000, or 0 for none"
            )
        return tuple(counts)

    def __post_init__(self) -> None:
        """Refuse a value that cannot be, in one line that names the flag."""
        super().__post_init__()
        _ = self.draw_counts  # refuses numbers that cannot be
        require_positive(self, "csl_chains csl_every csl_burn_in")


SAMPLING_SETTINGS = frozenset(field.name for field in dataclasses.fields(SamplingSettings))
