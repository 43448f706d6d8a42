"""The state before the first update, of one run or of several replicas side by side."""

import jax

from experiments.run.kind import Problem
from remjax.training.replicas import stack_replicas
from remjax.training.steps import TrainState, init_train_state


def initial_state(problem: Problem) -> TrainState:
    """The state before the first update, of one run or of all replicas."""
    seed, count = problem.settings.seed, problem.settings.num_replicas
    states = [
        init_train_state(
            problem.estimator,
            problem.optimizer,
            jax.random.key(seed + number),
            problem.dataset.train,
        )
        for number in range(count)
    ]
    return states[0] if count == 1 else stack_replicas(states)
