"""State-space models: sequences x [T, X] of latents z [T, D], fitted by particle filters.

A model has an initial distribution, a transition and an emission; `make_estimator` makes of it, of
its proposals r(z_t given z_{t-1}, x_t) and of a method such as `fivo()` or `rem()` an estimator
that `remjax.training` takes as any other.
"""

from remjax.sequential.estimator import make_estimator as make_estimator
from remjax.sequential.kalman import Kalman as Kalman
from remjax.sequential.kalman import kalman_filter as kalman_filter
from remjax.sequential.kalman import kalman_smoother as kalman_smoother
from remjax.sequential.linear_gaussian import linear_gaussian_model as linear_gaussian_model
from remjax.sequential.linear_gaussian import (
    linear_gaussian_recognition as linear_gaussian_recognition,
)
from remjax.sequential.linear_gaussian import optimal_recognition as optimal_recognition
from remjax.sequential.methods import Bound as Bound
from remjax.sequential.methods import SequentialMethod as SequentialMethod
from remjax.sequential.methods import Weighted as Weighted
from remjax.sequential.methods import along_ancestors as along_ancestors
from remjax.sequential.methods import bound as bound
from remjax.sequential.methods import filtered as filtered
from remjax.sequential.methods import fivo as fivo
from remjax.sequential.methods import iwae as iwae
from remjax.sequential.methods import nasmc as nasmc
from remjax.sequential.methods import rem as rem
from remjax.sequential.methods import rws as rws
from remjax.sequential.networks import network_model as network_model
from remjax.sequential.networks import network_recognition as network_recognition
from remjax.sequential.padding import padded as padded
from remjax.sequential.particle_filter import Filtered as Filtered
from remjax.sequential.particle_filter import filtering_weights as filtering_weights
from remjax.sequential.particle_filter import particle_filter as particle_filter
from remjax.sequential.particle_filter import smoothing_weights as smoothing_weights
from remjax.sequential.proposals import StepProposal as StepProposal
from remjax.sequential.proposals import from_matched as from_matched
from remjax.sequential.proposals import from_r as from_r
from remjax.sequential.state_space import Emission as Emission
from remjax.sequential.state_space import StateSpaceModel as StateSpaceModel
from remjax.sequential.state_space import StepRecognition as StepRecognition
from remjax.sequential.state_space import Steps as Steps
from remjax.sequential.state_space import emission as emission
from remjax.sequential.state_space import steps_of as steps_of
