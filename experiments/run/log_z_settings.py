"""The settings of models with a Boltzmann machine in them: how its log Z is measured."""

import dataclasses

from experiments.run.choices import BASES, look_up
from experiments.run.fields import Checked, require_positive, setting
from remjax.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogZSettings(Checked):
    """The settings of a run whose likelihood needs log Z of a machine."""

    track_temperatures: int = setting(
        300,
        "temperatures of the short annealing, in both directions, that follows log Z from epoch to "
        "epoch; 0 for none",
    )
    log_z_temperatures: int = setting(
        5000, "temperatures of the annealing that measures log Z", again="temperatures of log Z"
    )
    log_z_chains: int = setting(
        500,
        "chains that measure log Z in each direction",
        again="chains that measure log Z in each direction",
    )
    log_z_burn_in: int = setting(
        2000,
        "sweeps to where the reverse chains of log Z begin",
        again="sweeps to where the reverse chains of log Z begin",
    )
    log_z_base: str = setting(
        "data_mean",
        f"where the chains of log Z begin: {', '.join(BASES)}",
        again=f"where the chains of log Z begin: {', '.join(BASES)}",
    )

    def __post_init__(self) -> None:
        """Refuse a value that cannot be, in one line that names the flag."""
        super().__post_init__()
        look_up(BASES, "log_z_base", self.log_z_base)
        require_positive(self, "log_z_temperatures log_z_chains log_z_burn_in")
        if self.log_z_chains < 2:
            raise InputError("--log_z_chains=1 cannot be: one chain has no standard error, give 2")
        # One step is importance sampling, which of a machine that has learned is off by far.
        if self.log_z_temperatures < 2:
            raise InputError("--log_z_temperatures=1 cannot be: one step anneals nothing, give 2")
        if self.track_temperatures < 0 or self.track_temperatures == 1:
            raise InputError(
                f"--track_temperatures={self.track_temperatures} cannot be: give 0 for none, or 2 "
                "or more"
            )


LOG_Z_SETTINGS = frozenset(field.name for field in dataclasses.fields(LogZSettings))
