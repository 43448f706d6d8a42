"""What an estimator is: a batch in, two losses out."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Array, Int, Key, PyTree, Shaped

from remjax.types.arrays import Metrics, Params, Scalar
from remjax.types.model import Support
from remjax.types.recognition import Memory


class Batch(NamedTuple):
    """Datapoints, their places in the data set, and what is remembered of them.

    The place names the particles of a datapoint, together with the key of the step. Within a batch
    no place comes twice.

    Attributes:
        x: the datapoints, whose first axis is B.
        index: their places.
        memory: their memories before this visit, arrays whose first axis is B; () for none.
    """

    x: Shaped[Array, "B *X"]
    index: Int[Array, " B"]
    memory: PyTree[Array] = ()


class Estimate(NamedTuple):
    """What an estimator says about a batch: two losses, in nats per datapoint.

    The gradient of `theta_loss` reaches only theta and that of `eta_loss` only eta (and the
    baseline). The values are surrogates: read `metrics` to know how the fit stands.

    Attributes:
        theta_loss: what theta descends.
        eta_loss: what eta descends.
        metrics: means over the batch.
        memory: the memories of the batch after this visit, a row for each datapoint; () for none.
        statistics: the batch statistics after the batch, by the number of their leaf among those of
            params; empty for networks without any.
    """

    theta_loss: Scalar
    eta_loss: Scalar
    metrics: Metrics
    memory: PyTree[Array] = ()
    statistics: dict[int, Array] = {}  # noqa: RUF012


class Estimator(NamedTuple):
    """A method for one model and recognition network: how to begin, and a batch as two losses.

    Attributes:
        init: key -> (params, state); the state is the method's own, empty for most.
        estimate: (params, state, key, batch) -> (Estimate, state).
        state_of_batch: whether the state comes out the same on every device that shares a batch
            (`sharding.mean_over_batch`): only then, or where it is empty, does a mesh serve.
        memory: what is remembered of each datapoint, if anything.
        support: the values that x may have.
    """

    init: Callable[[Key[Array, ""]], tuple[Params, PyTree]]
    estimate: Callable[[Params, Any, Key[Array, ""], Batch], tuple[Estimate, Any]]
    state_of_batch: bool = False
    memory: Memory | None = None
    support: Support = Support()
