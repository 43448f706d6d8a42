"""Training: steps and epochs, replicas, optimizers, checkpoints."""

from remjax.training import checkpoints
from remjax.training.epochs import Epochs, make_epoch
from remjax.training.optimizers import (
    adam,
    burda_schedule,
    each_part,
    scale_by_adam_epsilon_hat,
)
from remjax.training.replicas import (
    replica,
    replicas_in_flight,
    stack_replicas,
    train_replicas,
)
from remjax.training.steps import TrainState, init_train_state, make_train_step, metric_means

__all__ = [
    "Epochs",
    "TrainState",
    "adam",
    "burda_schedule",
    "checkpoints",
    "each_part",
    "init_train_state",
    "make_epoch",
    "make_train_step",
    "metric_means",
    "replica",
    "replicas_in_flight",
    "scale_by_adam_epsilon_hat",
    "stack_replicas",
    "train_replicas",
]
