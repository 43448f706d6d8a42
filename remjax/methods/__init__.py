"""The methods: each a value, or a function of its knobs that returns one.

`make_estimator(model, recognition, method, particles)` makes an estimator of any of them. What they
are made of is here too: objectives, proposals, and ways to combine datapoints.
"""

from remjax.methods.additions import with_dreams
from remjax.methods.baselines import Baseline, no_baseline, tanh_baseline
from remjax.methods.combine import Combine, Groups, Mean, equal_shares, evidence_shares
from remjax.methods.disarm import disarm
from remjax.methods.draws import Draws, Scored
from remjax.methods.elbo import vae
from remjax.methods.importance_weighted import ciwae, dreg, iwae, miwae, piwae, stl, vr
from remjax.methods.method import Method, make_estimator
from remjax.methods.nvil import local_signals, nvil, whole_signal
from remjax.methods.objectives import (
    evidence_lower_bound,
    exclusive_kl,
    exclusive_kl_analytic,
    expected_complete_log_likelihood,
    importance_weighted_bound,
    inclusive_kl,
    path_derivative,
    score_function,
)
from remjax.methods.proposals import (
    Proposal,
    from_defensive,
    from_mixture,
    from_pooled,
    from_r,
    from_s,
)
from remjax.methods.rem import rem, rem_mixture, rem_pooled, rem_v1, rem_v2
from remjax.methods.row import Particles
from remjax.methods.score_functions import ovis, reinforce, rloo, tvo, vimco
from remjax.methods.signals import arithmetic_mean, geometric_mean
from remjax.methods.sums import (
    Blend,
    Normalized,
    Objective,
    Sum,
    Tempered,
    Uniform,
    Weight,
    log_joint,
    log_r,
    log_w_along_draw,
    log_w_along_path,
)
from remjax.methods.wake_sleep import rws, rws_defensive, rws_dreg, wake_sleep

__all__ = [
    "Baseline",
    "Blend",
    "Combine",
    "Draws",
    "Groups",
    "Mean",
    "Method",
    "Normalized",
    "Objective",
    "Particles",
    "Proposal",
    "Scored",
    "Sum",
    "Tempered",
    "Uniform",
    "Weight",
    "arithmetic_mean",
    "ciwae",
    "disarm",
    "dreg",
    "equal_shares",
    "evidence_lower_bound",
    "evidence_shares",
    "exclusive_kl",
    "exclusive_kl_analytic",
    "expected_complete_log_likelihood",
    "from_defensive",
    "from_mixture",
    "from_pooled",
    "from_r",
    "from_s",
    "geometric_mean",
    "importance_weighted_bound",
    "inclusive_kl",
    "iwae",
    "local_signals",
    "log_joint",
    "log_r",
    "log_w_along_draw",
    "log_w_along_path",
    "make_estimator",
    "miwae",
    "no_baseline",
    "nvil",
    "ovis",
    "path_derivative",
    "piwae",
    "reinforce",
    "rem",
    "rem_mixture",
    "rem_pooled",
    "rem_v1",
    "rem_v2",
    "rloo",
    "rws",
    "rws_defensive",
    "rws_dreg",
    "score_function",
    "stl",
    "tanh_baseline",
    "tvo",
    "vae",
    "vimco",
    "vr",
    "wake_sleep",
    "whole_signal",
    "with_dreams",
]
