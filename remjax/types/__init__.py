"""The types that every room shares: what a model, a recognition network and an estimator are.

Shape letters, used everywhere: N datapoints of a data set, B datapoints of a batch, K particles per
datapoint, M particles kept for the gradient, D latent dimension, X data dimension.
"""

from remjax.types.arrays import Datapoint, Latent, Metrics, Params, Scalar
from remjax.types.estimator import Batch, Estimate, Estimator
from remjax.types.model import Conditional, Decoded, DenoisingModel, Joint, Model, Support
from remjax.types.recognition import Memory, Recognition

__all__ = [
    "Batch",
    "Conditional",
    "Datapoint",
    "Decoded",
    "DenoisingModel",
    "Estimate",
    "Estimator",
    "Joint",
    "Latent",
    "Memory",
    "Metrics",
    "Model",
    "Params",
    "Recognition",
    "Scalar",
    "Support",
]
