"""remjax: updates of an estimator, so many in one compiled program, as `make_epoch` makes them."""

import jax
import optax

from benchmarks.peers.work import Prepared
from remjax.training.epochs import make_epoch
from remjax.training.steps import init_train_state
from remjax.types import Estimator


def prepared_updates(
    estimator: Estimator,
    optimizer: optax.GradientTransformation,
    rows: jax.Array,
    batch_size: int,
    steps: int,
) -> Prepared:
    """Each run goes on from where the last one ended."""
    state = init_train_state(estimator, optimizer, jax.random.key(0), rows)
    epoch = make_epoch(estimator, optimizer, num_data=rows.shape[0], batch_size=batch_size)
    compiled = epoch.compile(state, rows)

    def run() -> None:
        nonlocal state
        state = jax.block_until_ready(compiled(state, rows, steps))

    return Prepared(run, compiled.program.memory_analysis().temp_size_in_bytes)
