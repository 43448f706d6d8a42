"""What can be added to any method: dreams, the model's own samples, for eta to learn from.

Awake, the particles are those of a datapoint, weighted. Asleep, the model dreams: it draws z and x
together, so z is an exact draw of its posterior given x, but x is its own and not the data's.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key, PyTree

from remjax.errors import InputError
from remjax.methods.combine import Combine
from remjax.methods.method import Method
from remjax.methods.row import Particles, Row
from remjax.types import Batch, Datapoint, Estimate, Params


@dataclasses.dataclass(frozen=True)
class Dreaming(Combine):
    """eta_loss = (1 - share) awake + share sleep (`with_dreams`).

    Attributes:
        awake: how the method itself combines datapoints.
        share: of the dreams in eta's loss, above 0 and up to 1.
        num_dreams: per datapoint.
    """

    awake: Combine
    share: float
    num_dreams: int

    def check(self, particles: Particles) -> None:
        """As the method itself."""
        self.awake.check(particles)

    def init(self, key: Key[Array, ""], row: Row) -> tuple[PyTree, PyTree]:
        """As the method itself."""
        return self.awake.init(key, row)

    def estimate(
        self, row: Row, params: Params, state: Any, key: Key[Array, ""], batch: Batch
    ) -> tuple[Estimate, Any]:
        """The losses; theta's is that of the method itself."""
        key, key_dreams = jax.random.split(key)
        awake, state = self.awake.estimate(row, params, state, key, batch)

        def log_r_of_dream(key: Key[Array, ""], seen: Datapoint) -> Float[Array, ""]:
            z, x = lax.stop_gradient(row.model.dream(params.theta, key, seen))
            r = row.recognition.r(params.eta, x)
            if not r.is_normalized:
                raise InputError(
                    f"dreams need a normalised r, and log Z of {type(r).__name__} is not known: "
                    "let eta learn awake alone"
                )
            return r.log_prob(z)

        def names(index: Array) -> Key[Array, " S"]:
            return jax.random.split(jax.random.fold_in(key_dreams, index), self.num_dreams)

        keys = jax.vmap(names)(batch.index).reshape(-1)
        # A dream depends on the datapoint by its condition alone, if there is one.
        seen = jnp.repeat(batch.x, self.num_dreams, axis=0)
        sleep = -jnp.mean(jax.vmap(log_r_of_dream)(keys, seen))
        if self.share == 1.0:
            return awake._replace(eta_loss=sleep), state
        eta_loss = (1.0 - self.share) * awake.eta_loss + self.share * sleep
        return awake._replace(eta_loss=eta_loss), state

    def __str__(self) -> str:
        """As the tables have it."""
        of_dreams = "" if self.share == 1.0 else f"{self.share:g} "
        return f"eta from {of_dreams}dreams"


def with_dreams(method: Method, share: float = 1.0, num_dreams: int = 1) -> Method:
    """A method whose eta learns from dreams too, or from them alone.

    eta_loss = (1 - share) eta_loss + share sleep, where sleep is minus the mean over dreams
    (z, x) ~ p_theta of log r_eta(z | x): the sleep phase (Hinton et al. 1995). Dreams carry no
    gradient to theta. With share 1 the method's own eta_loss is never computed, nor the gradient of
    a baseline.

    Args:
        method: any.
        share: of the dreams in eta's loss, from 0 to 1; 0 gives the method back.
        num_dreams: per datapoint.

    Raises:
        InputError: for another share, or no dreams.
    """
    if not 0.0 <= share <= 1.0:
        raise InputError(f"share is {share}: give that of the dreams in eta's loss, from 0 to 1")
    if num_dreams < 1:
        raise InputError(f"num_dreams is {num_dreams}: give at least 1 dream per datapoint")
    if share == 0.0:
        return method
    return dataclasses.replace(method, combine=Dreaming(method.combine, share, num_dreams))
