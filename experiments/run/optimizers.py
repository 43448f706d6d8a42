"""The table from --optimizer to what moves the parameters: each part of `Params` by itself."""

import math
from collections.abc import Callable, Mapping

import optax

from remjax.training.optimizers import adam, each_part


def sgd(
    learning_rate: optax.Schedule, *, max_gradient_norm: float = math.inf, weight_decay: float = 0.0
) -> optax.GradientTransformation:
    """Plain gradient descent of the mean loss."""
    return each_part(
        optax.identity(),
        learning_rate,
        max_gradient_norm=max_gradient_norm,
        weight_decay=weight_decay,
    )


def momentum(
    learning_rate: optax.Schedule, *, max_gradient_norm: float = math.inf, weight_decay: float = 0.0
) -> optax.GradientTransformation:
    """Gradient descent with v <- 0.95 v + 0.05 g in place of g, as the authors' RWS has it."""
    scaling = optax.ema(decay=0.95, debias=False)
    return each_part(
        scaling, learning_rate, max_gradient_norm=max_gradient_norm, weight_decay=weight_decay
    )


def adagrad(
    learning_rate: optax.Schedule, *, max_gradient_norm: float = math.inf, weight_decay: float = 0.0
) -> optax.GradientTransformation:
    """AdaGrad (Duchi et al. 2011): g / sqrt(sum of g^2 so far); optax starts the sum at 0.1."""
    return each_part(
        optax.scale_by_rss(),
        learning_rate,
        max_gradient_norm=max_gradient_norm,
        weight_decay=weight_decay,
    )


def rmsprop(
    learning_rate: optax.Schedule, *, max_gradient_norm: float = math.inf, weight_decay: float = 0.0
) -> optax.GradientTransformation:
    """RMSProp (Tieleman & Hinton 2012): g / sqrt(running mean of g^2), of decay 0.95."""
    scaling = optax.scale_by_rms(decay=0.95)
    return each_part(
        scaling, learning_rate, max_gradient_norm=max_gradient_norm, weight_decay=weight_decay
    )


OPTIMIZERS: Mapping[str, Callable[..., optax.GradientTransformation]] = {
    "adam": adam,
    "sgd": sgd,
    "momentum": momentum,
    "adagrad": adagrad,
    "rmsprop": rmsprop,
}
