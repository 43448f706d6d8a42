"""A fit in one call, and what a fitted model is for: sugar over the rooms below.

`fit` does nothing that a reader could not write in ten lines of `make_estimator`,
`init_train_state` and `make_epoch`.
"""

from remjax.fitting.export import write_export
from remjax.fitting.fit import fit
from remjax.fitting.fitted import Fit, Fitted
from remjax.fitting.loading import load
from remjax.fitting.networks import DefaultNetworks, default_networks

__all__ = ["DefaultNetworks", "Fit", "Fitted", "default_networks", "fit", "load", "write_export"]
