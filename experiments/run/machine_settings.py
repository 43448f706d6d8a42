"""The settings of undirected machines: how they learn."""

import dataclasses
import math
from typing import Any

from experiments.run.fields import Checked, setting
from remjax.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class MachineSettings(Checked):
    """The settings of a run that only machines have."""

    centring_rate: float = setting(
        0.01, "share of a batch in the moving averages that centring subtracts; 0 for no centring"
    )
    l1: float = setting(0.0, "strength of the sum of absolute weights in the loss")
    l2: float = setting(0.0, "strength of half the sum of squared weights in the loss")
    sparsity: float = setting(0.0, "strength of the divergence from --sparsity_target in the loss")
    sparsity_target: float = setting(
        0.1, "wanted share of images at which a hidden unit is on, for --sparsity"
    )

    def __post_init__(self) -> None:
        """Refuse a value that cannot be, in one line that names the flag."""
        super().__post_init__()
        for flag in ("l1", "l2", "sparsity"):
            value: Any = getattr(self, flag)
            if not 0 <= value < math.inf:
                raise InputError(f"--{flag}={value} cannot be: give 0 or more")
        if not 0 <= self.centring_rate <= 1:
            raise InputError(
                f"--centring_rate={self.centring_rate} cannot be: give a share from 0 to 1"
            )
        if not self.sparsity and self.sparsity_target != type(self).sparsity_target:
            raise InputError("--sparsity_target does nothing without --sparsity: give it too")
        if not 0 < self.sparsity_target < 1:
            raise InputError(
                f"--sparsity_target={self.sparsity_target} cannot be: give a share between 0 and 1"
            )


MACHINE_SETTINGS = frozenset(field.name for field in dataclasses.fields(MachineSettings))
