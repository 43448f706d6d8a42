"""The settings of discrete VAEs: the posterior, its relaxed bits, and how the prior learns."""

import dataclasses
import inspect
import math

from experiments.run.choices import (
    POSTERIORS,
    PRIOR_PHASES,
    RELAXATIONS,
    RELAXED_PRIORS,
    RelaxedPrior,
    look_up,
)
from experiments.run.fields import Checked, require_positive, said_of, setting
from remjax.distributions import Relaxation, Smoothing
from remjax.errors import InputError

# What methods without a gradient along the draws take of numbers that are scored as bits.
_NONE = "none"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiscreteSettings(Checked):
    """The settings of a run that only discrete VAEs have."""

    posterior: str = setting(
        "directed", f"posterior of --model=dvae: {', '.join(POSTERIORS)} (rbm: Boltzmann machines)"
    )
    relaxation: str | None = setting(
        None,
        f"relaxation of the posterior's bits, for a gradient: {', '.join(RELAXATIONS)}; default "
        "pwl where the method has a gradient along the draws, else none; with "
        "--relaxed_prior=marginal power",
    )
    relaxed_prior: str = setting(
        "energy",
        "how relaxed bits are scored: energy (as bits, the energy continued: GumBolt) or marginal "
        "(by their density, the bits summed out: DVAE#; power or overlapping)",
    )
    sharpness: float | None = setting(
        None, "how close relaxed bits are to bits (beta, or 1 / temperature); default its papers'"
    )
    posterior_groups: int = setting(
        1,
        "groups of bits of a directed posterior, each drawn given those before it; of at most "
        "25 bits each for rbm_groups",
    )
    shared_context: bool = setting(
        True, "whether the groups of a directed posterior share the tanh layers"
    )
    posterior_sweeps: int = setting(
        10, "sweeps of the chains of an undirected posterior at each visit to an image"
    )
    relaxed_sweeps: int = setting(
        1, "relaxed sweeps that make a particle of such a chain, with the gradient"
    )
    raw_heads: bool = setting(
        False, "an undirected posterior's couplings as the network gives them, not normalised"
    )
    prior_phase: str = setting(
        "pcd", f"where the prior's samples come from: {', '.join(PRIOR_PHASES)}"
    )
    prior_chains: int = setting(500, "chains of the prior")
    prior_sweeps: int = setting(
        5, "sweeps of these chains in an update, or at each temperature of a population"
    )
    prior_temperatures: int = setting(
        40, "temperatures of a population, or of the ladders of tempered_pcd"
    )
    prior_decay: float = setting(
        1e-4, "strength of half the sum of squared couplings of the prior in the loss"
    )
    batch_normalization: bool = setting(True, "normalise the tanh layers over the batch")
    eval_temperatures: int = setting(
        500,
        "temperatures that make particles of an undirected posterior, in evaluation",
        again="temperatures that make particles of an undirected posterior",
    )

    def __post_init__(self) -> None:
        """Refuse a value that cannot be, in one line that names the flag."""
        super().__post_init__()
        for flag, table in (
            ("posterior", POSTERIORS),
            ("relaxation", RELAXATIONS),
            ("relaxed_prior", RELAXED_PRIORS),
            ("prior_phase", PRIOR_PHASES),
        ):
            if getattr(self, flag) is not None:
                look_up(table, flag, getattr(self, flag))
        require_positive(
            self,
            "sharpness posterior_groups posterior_sweeps relaxed_sweeps prior_chains prior_sweeps "
            "prior_temperatures eval_temperatures",
        )
        if not 0 <= self.prior_decay < math.inf:
            raise InputError(f"--prior_decay={self.prior_decay} cannot be: give 0 or more")
        for name, other in POSTERIORS.items():
            if name == self.posterior:
                continue
            for flag in other.settings - POSTERIORS[self.posterior].settings:
                if getattr(self, flag) != getattr(type(self), flag):
                    raise InputError(
                        f"--{flag} does nothing for --posterior={self.posterior}: leave it out"
                    )
        if self.prior_phase == "pcd" and self.prior_temperatures != type(self).prior_temperatures:
            raise InputError(
                "--prior_temperatures does nothing for --prior_phase=pcd: leave it out"
            )
        _ = self._bits  # refuses a sharpness that the relaxation has not, and one without density

    @property
    def bits_as(self) -> Relaxation | None:
        """The relaxation of bits that are scored as bits, by default where none was given.

        None for bits, and for smoothed ones.
        """
        return self._bits[0]

    @property
    def smoothing(self) -> Smoothing | None:
        """Of bits that are scored by the density of the numbers; None for those scored as bits."""
        return self._bits[1]

    @property
    def _scoring(self) -> RelaxedPrior:
        return look_up(RELAXED_PRIORS, "relaxed_prior", self.relaxed_prior)

    @property
    def _bits(self) -> tuple[Relaxation | None, Smoothing | None]:
        """(relaxation, smoothing).

        Raises:
            InputError: for a sharpness where there is none to set, or a relaxation that the prior
                cannot score so.
        """
        name = self.relaxation or self._scoring.default
        make = look_up(RELAXATIONS, "relaxation", name)
        if self.sharpness is None:
            relaxation = make()
        elif inspect.signature(make).parameters:
            with said_of(f"--sharpness={self.sharpness}"):
                relaxation = make(self.sharpness)
        else:
            raise InputError(
                f"--sharpness does nothing for --relaxation={self.relaxation}: leave it out"
            )
        with said_of(f"--relaxed_prior={self.relaxed_prior} with --relaxation={name}"):
            return self._scoring.bits(relaxation)

    def relaxed_for(self, method: str, serves_relaxed: bool) -> "DiscreteSettings":
        """The settings with the relaxation that a method takes; smoothed bits serve any.

        Args:
            method: its name.
            serves_relaxed: whether it can take any (`Method.serves_relaxed`).

        Raises:
            InputError: for a relaxation that was given to a method of bits, or a sharpness.
        """
        if serves_relaxed or self.smoothing is not None:
            relaxation = self.relaxation or self._scoring.default
            return dataclasses.replace(self, relaxation=relaxation)
        if self.relaxation not in (None, _NONE):
            raise InputError(
                f"--relaxation={self.relaxation} does not go with --method={method}, which has no "
                "gradient along the draws and takes bits: leave it out"
            )
        return dataclasses.replace(self, relaxation=_NONE)


DISCRETE_SETTINGS = frozenset(field.name for field in dataclasses.fields(DiscreteSettings))
