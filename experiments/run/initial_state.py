"""The state before the first update, of one run or of several replicas side by side."""

import jax

from experiments.run.problem import Problem
from experiments.run.settings import Settings
from remjax.training.replicas import replica, stack_replicas
from remjax.training.steps import TrainState, init_train_state


def initial_state(problem: Problem, settings: Settings) -> TrainState:
    """The state before the first update, of one run or of all replicas."""
    states = [
        init_train_state(
            problem.estimator,
            problem.optimizer,
            jax.random.key(settings.seed + number),
            problem.dataset.train,
        )
        for number in range(settings.num_replicas)
    ]
    return states[0] if settings.num_replicas == 1 else stack_replicas(states)


def each_replica(state: TrainState, settings: Settings) -> list[TrainState]:
    """The state of each replica; of a run without replicas, its own."""
    if settings.num_replicas == 1:
        return [state]
    return [replica(state, number) for number in range(settings.num_replicas)]
