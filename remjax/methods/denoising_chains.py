"""The Markov chain of a denoising model and a corruption: x -> zbar ~ q(. | x) -> x' ~ p(. | zbar).

Where p(x | zbar) is the posterior of the data under q, and the chain can go anywhere, its
stationary distribution is that of the data (Bengio et al. 2013, Theorem 1; Bachman & Precup 2015,
Section 2). Nothing here carries a gradient.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Key, PyTree, Shaped

from remjax.data.checks import check_rows
from remjax.distributions.corruptions import Corruption
from remjax.errors import InputError
from remjax.types import Datapoint, DenoisingModel

States = Shaped[Array, "C *X"] | Shaped[np.ndarray, "C *X"]
# The states of the chains and the number of the step.
_Carry = tuple[Float[Array, "C *X"], Int[Array, ""]]


class Chains(NamedTuple):
    """What `make_chains` keeps of its chains.

    Attributes:
        x: the states [T, C, *X]; the last of them, x[-1], is where the chains can go on.
        zbar: what each of them was drawn from, x ~ p(. | zbar) [T, C, *X].
    """

    x: Float[Array, "T C *X"]
    zbar: Float[Array, "T C *X"]


def chain_step(
    key: Key[Array, ""], model: DenoisingModel, theta: PyTree, corruption: Corruption, x: Datapoint
) -> tuple[Datapoint, Datapoint]:
    """One step of ONE chain: zbar ~ q(. | x), then x' ~ p_theta(. | zbar). Consumes the key.

    Returns:
        (x', zbar), without gradients: zbar is what x' was drawn from.
    """
    key_zbar, key_x = jax.random.split(key)
    zbar = corruption.sample(key_zbar, x)
    return model.sample(lax.stop_gradient(theta), key_x, zbar), zbar


def walk_back(
    key: Key[Array, ""],
    model: DenoisingModel,
    theta: PyTree,
    corruption: Corruption,
    x: Datapoint,
    num_steps: int,
) -> Float[Array, "S *X"]:
    """The corruptions zbar_1, ..., zbar_S that a chain passes through from x. Consumes the key.

    zbar_1 ~ q(. | x), x_1 ~ p_theta(. | zbar_1), zbar_2 ~ q(. | x_1), and so on: where the chain
    goes astray, for the model to learn the way back to x from (Bengio et al. 2013, Algorithm 1).
    No gradient passes.

    Raises:
        InputError: for fewer steps than one.
    """
    check_steps(num_steps=num_steps)
    theta = lax.stop_gradient(theta)
    first = corruption.sample(jax.random.fold_in(key, 0), x)

    def step(zbar: Datapoint, place: Int[Array, ""]) -> tuple[Datapoint, Datapoint]:
        key_x, key_zbar = jax.random.split(jax.random.fold_in(key, place))
        there = corruption.sample(key_zbar, model.sample(theta, key_x, zbar)).astype(zbar.dtype)
        return there, there

    _, others = lax.scan(step, first, jnp.arange(1, num_steps))
    return jnp.concatenate([first[None], others])


def make_chains(
    model: DenoisingModel, *, num_kept: int, every: int = 1
) -> Callable[[PyTree, Corruption, Key[Array, ""], States], Chains]:
    """A compiled run of many chains side by side, of which every n-th state is kept.

    It takes any theta and any strength of the corruption without compiling anew, and runs
    num_kept * every steps. To go on, or to leave a burn-in behind, begin at `x[-1]` of a run before
    with another key.

    Args:
        model: p_theta(x | zbar).
        num_kept: T.
        every: n, steps from one state that is kept to the next.

    Returns:
        run(theta, corruption, key, x [C, *X]) -> Chains. A chain follows from the key and its own
        number.

    Raises:
        InputError: for counts below one; from `run`, for no chains, or states with values that the
            model has no density for.
    """
    check_steps(num_kept=num_kept, every=every)

    @jax.jit
    def compiled(
        theta: PyTree, corruption: Corruption, key: Key[Array, ""], x: Shaped[Array, "C *X"]
    ) -> Chains:
        chains = jax.vmap(lambda chain: jax.random.fold_in(key, chain))(jnp.arange(x.shape[0]))

        def step(carry: _Carry) -> tuple[_Carry, Float[Array, "C *X"]]:
            x, place = carry
            keys = jax.vmap(lambda chain: jax.random.fold_in(chain, place))(chains)
            new, zbar = jax.vmap(lambda key, x: chain_step(key, model, theta, corruption, x))(
                keys, x
            )
            return (new.astype(x.dtype), place + 1), zbar

        def until_kept(carry: _Carry, _: None) -> tuple[_Carry, Chains]:
            # The steps between are dropped: memory grows with those that are kept alone.
            carry = lax.fori_loop(0, every - 1, lambda _, carry: step(carry)[0], carry)
            carry, zbar = step(carry)
            return carry, Chains(carry[0], zbar)

        start = x.astype(jnp.result_type(x, float)), jnp.zeros((), int)
        return lax.scan(until_kept, start, length=num_kept)[1]

    def run(theta: PyTree, corruption: Corruption, key: Key[Array, ""], x: States) -> Chains:
        if x.shape[0] == 0:
            raise InputError("there are no chains: give at least one state to begin at")
        check_rows(np.asarray(x), model.support)
        return compiled(theta, corruption, key, jnp.asarray(x))

    return run


def check_steps(**counts: int) -> None:
    """Raise InputError for a count of steps below one."""
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"{name} is {count}: give at least 1 step")
