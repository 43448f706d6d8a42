"""The methods: each a value, or a function of its knobs that returns one.

`make_estimator(model, recognition, method, particles)` makes an estimator of any of them. What they
are made of is here too: objectives, proposals, and ways to combine datapoints. Denoising models
have methods of their own, such as `walkback(num_steps=5)`, and chains that sample from them.
"""

from remjax.methods.additions import with_dreams as with_dreams
from remjax.methods.baselines import Baseline as Baseline
from remjax.methods.baselines import no_baseline as no_baseline
from remjax.methods.baselines import tanh_baseline as tanh_baseline
from remjax.methods.combine import Combine as Combine
from remjax.methods.combine import Groups as Groups
from remjax.methods.combine import Mean as Mean
from remjax.methods.combine import equal_shares as equal_shares
from remjax.methods.combine import evidence_shares as evidence_shares
from remjax.methods.curvature_proposals import from_curvature as from_curvature
from remjax.methods.denoising import make_denoising_estimator as make_denoising_estimator
from remjax.methods.denoising_chains import Chains as Chains
from remjax.methods.denoising_chains import chain_step as chain_step
from remjax.methods.denoising_chains import make_chains as make_chains
from remjax.methods.denoising_chains import walk_back as walk_back
from remjax.methods.denoising_methods import DenoisingMethod as DenoisingMethod
from remjax.methods.denoising_methods import denoising as denoising
from remjax.methods.denoising_methods import learned_corruption as learned_corruption
from remjax.methods.denoising_methods import walkback as walkback
from remjax.methods.disarm import disarm as disarm
from remjax.methods.draws import Draws as Draws
from remjax.methods.draws import Scored as Scored
from remjax.methods.elbo import vae as vae
from remjax.methods.importance_weighted import ciwae as ciwae
from remjax.methods.importance_weighted import dreg as dreg
from remjax.methods.importance_weighted import iwae as iwae
from remjax.methods.importance_weighted import miwae as miwae
from remjax.methods.importance_weighted import piwae as piwae
from remjax.methods.importance_weighted import stl as stl
from remjax.methods.importance_weighted import vr as vr
from remjax.methods.learned_corruptions import (
    make_learned_denoising_estimator as make_learned_denoising_estimator,
)
from remjax.methods.method import Method as Method
from remjax.methods.method import make_estimator as make_estimator
from remjax.methods.nvil import local_signals as local_signals
from remjax.methods.nvil import nvil as nvil
from remjax.methods.nvil import whole_signal as whole_signal
from remjax.methods.objectives import evidence_lower_bound as evidence_lower_bound
from remjax.methods.objectives import exclusive_kl as exclusive_kl
from remjax.methods.objectives import exclusive_kl_analytic as exclusive_kl_analytic
from remjax.methods.objectives import (
    expected_complete_log_likelihood as expected_complete_log_likelihood,
)
from remjax.methods.objectives import importance_weighted_bound as importance_weighted_bound
from remjax.methods.objectives import inclusive_kl as inclusive_kl
from remjax.methods.objectives import path_derivative as path_derivative
from remjax.methods.objectives import score_function as score_function
from remjax.methods.proposals import Proposal as Proposal
from remjax.methods.proposals import from_defensive as from_defensive
from remjax.methods.proposals import from_mixture as from_mixture
from remjax.methods.proposals import from_pooled as from_pooled
from remjax.methods.proposals import from_r as from_r
from remjax.methods.proposals import from_s as from_s
from remjax.methods.rao_blackwell import dvae as dvae
from remjax.methods.rem import rem as rem
from remjax.methods.rem import rem_curvature as rem_curvature
from remjax.methods.rem import rem_defensive as rem_defensive
from remjax.methods.rem import rem_dreg as rem_dreg
from remjax.methods.rem import rem_mixture as rem_mixture
from remjax.methods.rem import rem_pooled as rem_pooled
from remjax.methods.rem import rem_v1 as rem_v1
from remjax.methods.rem import rem_v2 as rem_v2
from remjax.methods.row import Particles as Particles
from remjax.methods.score_functions import ovis as ovis
from remjax.methods.score_functions import reinforce as reinforce
from remjax.methods.score_functions import rloo as rloo
from remjax.methods.score_functions import tvo as tvo
from remjax.methods.score_functions import vimco as vimco
from remjax.methods.signals import arithmetic_mean as arithmetic_mean
from remjax.methods.signals import geometric_mean as geometric_mean
from remjax.methods.structured_prediction import structured_prediction as structured_prediction
from remjax.methods.sum_weights import Normalized as Normalized
from remjax.methods.sum_weights import Tempered as Tempered
from remjax.methods.sum_weights import Uniform as Uniform
from remjax.methods.sum_weights import Weight as Weight
from remjax.methods.sums import Blend as Blend
from remjax.methods.sums import Objective as Objective
from remjax.methods.sums import Sum as Sum
from remjax.methods.sums import log_joint as log_joint
from remjax.methods.sums import log_r as log_r
from remjax.methods.sums import log_w_along_draw as log_w_along_draw
from remjax.methods.sums import log_w_along_path as log_w_along_path
from remjax.methods.wake_sleep import rws as rws
from remjax.methods.wake_sleep import rws_defensive as rws_defensive
from remjax.methods.wake_sleep import rws_dreg as rws_dreg
from remjax.methods.wake_sleep import wake_sleep as wake_sleep
from remjax.methods.warm_up import warm_up as warm_up
