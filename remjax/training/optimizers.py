"""Optax transformations and schedules of the papers, composed for the parts of `Params`."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PyTree

from remjax.errors import InputError
from remjax.types import Params

# Parameters of `nnx.Linear`, `nnx.Conv` and `nnx.BatchNorm` that are weights.
_DECAYING = ("kernel", "scale")


class EpsilonHatState(NamedTuple):
    """Moments of `scale_by_adam_epsilon_hat`."""

    count: Int[Array, ""]
    mu: PyTree
    nu: PyTree


def scale_by_adam_epsilon_hat(
    b1: float = 0.9, b2: float = 0.999, eps: float = 1e-4, initial_nu: float = 0.0
) -> optax.GradientTransformation:
    """Adam in its epsilon-hat form: sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + eps).

    The papers' codes add epsilon to the square root of the uncorrected second moment (Kingma & Ba
    2015, end of Section 2); optax adds it to the corrected one. At the large epsilons of these
    codes the first steps differ more than tenfold.

    Args:
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: epsilon-hat, in units of the gradient. Codes that sum the loss over a batch of B with
            epsilon e correspond to a mean loss with e / B.
        initial_nu: the second moments at the start, in units of the gradient squared; 1 in the
            release of IWAE, whose loss is summed over 20 images, is 1/400 for a mean loss: an
            implicit warm-up.
    """

    def init(params: PyTree) -> EpsilonHatState:
        return EpsilonHatState(
            count=jnp.zeros((), jnp.int32),
            mu=jax.tree.map(jnp.zeros_like, params),
            nu=jax.tree.map(lambda leaf: jnp.full_like(leaf, initial_nu), params),
        )

    def update(
        updates: PyTree, state: Any, params: PyTree = None
    ) -> tuple[PyTree, EpsilonHatState]:
        del params
        count = jnp.asarray(optax.safe_increment(state.count))
        mu = optax.tree.update_moment(updates, state.mu, b1, 1)
        nu = optax.tree.update_moment_per_elem_norm(updates, state.nu, b2, 2)
        step_size = jnp.sqrt(1.0 - b2**count) / (1.0 - b1**count)
        updates = jax.tree.map(lambda m, v: step_size * m / (jnp.sqrt(v) + eps), mu, nu)
        return updates, EpsilonHatState(count, mu, nu)

    return optax.GradientTransformation(init, update)


def burda_schedule(learning_rate: float, steps_per_epoch: int) -> optax.Schedule:
    """3^i passes over the data at learning_rate * 10^(-i/7), i = 0..7 (Burda et al. 2015, 5.1).

    3,280 passes in all; the last rate stays after them.

    Args:
        learning_rate: the first rate (0.001 in the paper).
        steps_per_epoch: updates in one pass over the data.
    """
    factor = 10.0 ** (-1.0 / 7.0)
    ends = {steps_per_epoch * (3**i - 1) // 2: factor for i in range(1, 8)}
    return optax.piecewise_constant_schedule(learning_rate, ends)


def vahdat_schedule(learning_rate: float, num_updates: int) -> optax.Schedule:
    """A tenth of the rate for 2 % of a run, then all of it, and less towards the end.

    The rate to 60 % of the updates, a third to 75 %, a tenth to 95 %, 0.0303 of it to the end: that
    of the code of Vahdat et al. 2019, whose rate is 0.003.

    Args:
        learning_rate: the highest rate.
        num_updates: of the run.
    """
    shares = {0.02: 10.0, 0.6: 1 / 3, 0.75: 0.3, 0.95: 0.303}
    # In a short run two of them may fall on one update: their factors are then both due.
    ends: dict[int, float] = {}
    for share, factor in shares.items():
        place = max(1, round(share * num_updates))
        ends[place] = ends.get(place, 1.0) * factor
    return optax.piecewise_constant_schedule(0.1 * learning_rate, ends)


def adam(
    learning_rate: float | optax.Schedule,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 5e-6,
    epsilon_hat: bool = False,
    initial_nu: float = 0.0,
    max_gradient_norm: float = math.inf,
    weight_decay: float = 0.0,
) -> optax.GradientTransformation:
    """Adam for each part of `Params` by itself, after clipping that part's gradient.

    Neither a large gradient of eta nor its clipping changes the step of theta.

    Args:
        learning_rate: a rate or a schedule of the number of updates.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: 5e-6 for a mean loss is the 1e-4 of the papers' codes, summed over batches of 20.
        epsilon_hat: which form (`scale_by_adam_epsilon_hat`).
        initial_nu: second moments at the start (epsilon-hat form only).
        max_gradient_norm: of the gradient of each part, in nats per unit of the parameters.
        weight_decay: as in `each_part`.

    Raises:
        InputError: for a rate, epsilon or norm that is not positive, or a negative weight decay.
    """
    if not eps > 0.0:
        raise InputError(f"eps is {eps}: give a positive number")
    scaling = (
        scale_by_adam_epsilon_hat(b1, b2, eps, initial_nu)
        if epsilon_hat
        else optax.scale_by_adam(b1, b2, eps)
    )
    return each_part(
        scaling, learning_rate, max_gradient_norm=max_gradient_norm, weight_decay=weight_decay
    )


def each_part(
    scaling: optax.GradientTransformation,
    learning_rate: float | optax.Schedule,
    *,
    max_gradient_norm: float = math.inf,
    weight_decay: float = 0.0,
) -> optax.GradientTransformation:
    """An optimiser for each part of `Params` by itself, after clipping that part's gradient.

    Args:
        scaling: what stands between gradient and rate, as `optax.scale_by_rms()`, or
            `optax.identity()` for plain gradient descent.
        learning_rate: a rate or a schedule of the number of updates.
        max_gradient_norm: of the gradient of each part, in nats per unit of the parameters.
        weight_decay: adds so many times the weights of linear layers and the scales of
            normalisations to the gradient, after clipping: that of weight_decay / 2 times the sum
            of their squares in the loss, nats. 1e-4 in the code of Vahdat et al. 2019. Biases are
            free, and so are the couplings of machines, which `with_boltzmann_prior` has a penalty
            for.

    Raises:
        InputError: for a rate or norm that is not positive, or a negative weight decay.
    """
    if not 0.0 <= weight_decay < math.inf:
        raise InputError(f"weight_decay is {weight_decay}: give zero or a positive number")
    if not max_gradient_norm > 0.0:
        raise InputError(f"max_gradient_norm is {max_gradient_norm}: give a positive number")
    if not callable(learning_rate) and not learning_rate > 0.0:
        raise InputError(f"learning_rate is {learning_rate}: give a positive number")
    clipping = [optax.clip_by_global_norm(max_gradient_norm)] * math.isfinite(max_gradient_norm)
    decay = [optax.add_decayed_weights(weight_decay, _decays)] * (weight_decay > 0.0)
    rate = optax.scale_by_learning_rate(learning_rate)
    one_part = optax.chain(*clipping, *decay, scaling, rate)
    parts = Params._fields
    return optax.partition(dict.fromkeys(parts, one_part), Params(*parts))


def _decays(params: PyTree) -> PyTree:
    """Which leaves are weights, by the names that Flax gives them."""

    def is_weight(path: tuple[Any, ...], leaf: Any) -> bool:
        del leaf
        return bool(path) and getattr(path[-1], "key", None) in _DECAYING

    return jax.tree_util.tree_map_with_path(is_weight, params)
