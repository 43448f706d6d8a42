"""Replicas: each is the run of its own key, however many are stepped together."""

import jax
import jax.numpy as jnp
import pytest

from remjax.data.orders import as_stored
from remjax.errors import InputError
from remjax.methods import Particles, make_estimator, rws
from remjax.training import (
    adam,
    init_train_state,
    make_epoch,
    replica,
    stack_replicas,
    train_replicas,
)
from tests import linear_gaussian
from tests.training.states import assert_close

TRUTH = linear_gaussian.example()
DATA = jnp.asarray(TRUTH.sample(0, 10), jnp.float32)
OPTIMIZER = adam(1e-2)
ESTIMATOR = make_estimator(
    linear_gaussian.model(TRUTH), linear_gaussian.diagonal_recognition(TRUTH), rws(), Particles(5)
)
EPOCH = make_epoch(ESTIMATOR, OPTIMIZER, num_data=10, batch_size=3, order=as_stored)


def states():
    keys = jax.random.split(jax.random.key(0), 3)
    return [init_train_state(ESTIMATOR, OPTIMIZER, key, DATA) for key in keys]


@pytest.mark.parametrize("at_a_time", [None, 1, 2])
def test_replicas_in_groups_are_the_runs_of_their_keys(at_a_time):
    """Three of them: groups of two leave one over."""
    program = train_replicas(EPOCH, at_a_time=at_a_time)
    together = program(program(stack_replicas(states()), DATA, 2), DATA, 5)
    for number, state in enumerate(states()):
        alone = EPOCH(EPOCH(state, DATA, 2), DATA, 5)
        assert_close(replica(together, number), alone, rtol=1e-4)


def test_replicas_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="replicas share one step: stack one state or more"):
        stack_replicas([])
    state = states()[0]
    with pytest.raises(InputError, match="at the same step"):
        stack_replicas([state, state._replace(step=jnp.ones((), int))])
    with pytest.raises(InputError, match="at_a_time is 0: give 1 or more"):
        train_replicas(EPOCH, at_a_time=0)
