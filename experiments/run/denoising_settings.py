"""The settings of denoising models: the corruption that they learn to undo."""

import dataclasses
import math

from experiments.run.choices import CORRUPTIONS, look_up
from experiments.run.fields import Checked, setting
from remjax.distributions import Corruption
from remjax.errors import InputError

_RATE, _SCALE = 0.4, 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenoisingSettings(Checked):
    """The settings of a run that only denoising models have."""

    corruption: str = setting(
        "salt_and_pepper", f"how images are corrupted: {', '.join(CORRUPTIONS)}"
    )
    corruption_rate: float | None = setting(
        None,
        f"probability of a pixel to be replaced (default {_RATE}); a learned one starts there",
    )
    corruption_scale: float | None = setting(
        None,
        "standard deviation of --corruption=gaussian in the units of the pixels (default "
        f"{_SCALE}); a learned one starts there",
    )

    @property
    def as_corruption(self) -> Corruption:
        """The corruption that the settings name."""
        given = self.corruption_scale if self.corruption == "gaussian" else self.corruption_rate
        default = _SCALE if self.corruption == "gaussian" else _RATE
        return CORRUPTIONS[self.corruption](default if given is None else given)

    def __post_init__(self) -> None:
        """Refuse a value that cannot be, in one line that names the flag."""
        super().__post_init__()
        look_up(CORRUPTIONS, "corruption", self.corruption)
        other, mend = ("rate", "scale") if self.corruption == "gaussian" else ("scale", "rate")
        if getattr(self, f"corruption_{other}") is not None:
            raise InputError(
                f"--corruption_{other} does nothing for --corruption={self.corruption}: give "
                f"--corruption_{mend}"
            )
        rate, scale = self.corruption_rate, self.corruption_scale
        if rate is not None and not 0 <= rate <= 1:
            raise InputError(f"--corruption_rate={rate} cannot be: give a probability from 0 to 1")
        if scale is not None and not 0 < scale < math.inf:
            raise InputError(f"--corruption_scale={scale} cannot be: give a number above 0")


DENOISING_SETTINGS = frozenset(field.name for field in dataclasses.fields(DenoisingSettings))
