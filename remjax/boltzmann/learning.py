"""Learning of machines: losses whose gradient by automatic differentiation is the stated one.

The value of such a loss is no sign of progress: read a likelihood, or the metrics.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key, PyTree

from remjax.boltzmann.families import Bits
from remjax.boltzmann.likelihood import (
    Offsets,
    Sample,
    free_energy_gap,
    sample_of,
    surrogate,
)
from remjax.boltzmann.machine import check_width
from remjax.boltzmann.phases import NegativePhase
from remjax.boltzmann.rbm import RBM
from remjax.data.checks import is_concrete
from remjax.errors import InputError
from remjax.sharding import mean_over_batch
from remjax.types import Batch, Estimate, Estimator, Params

Penalty = Callable[[RBM, Float[Array, "B V"]], Float[Array, ""]]
"""(machine, datapoints) -> nats, added to the loss."""


def l1(strength: float) -> Penalty:
    """strength times the sum of the absolute weights, as their gradient is the sign.

    Raises:
        InputError: for a strength below zero.
    """
    _check_strength(strength)
    return lambda machine, _: strength * jnp.sum(jnp.abs(machine.weights))


def l2(strength: float) -> Penalty:
    """strength / 2 times the sum of the squared weights: weight decay.

    Raises:
        InputError: for a strength below zero.
    """
    _check_strength(strength)
    return lambda machine, _: 0.5 * strength * jnp.sum(jnp.square(machine.weights))


def sparse(target: float, strength: float) -> Penalty:
    """strength times sum_j KL(target || mean activity of hidden unit j), nats (Lee et al. 2008).

    The mean is that over the datapoints of the batch; on a mesh, those of each device.

    Args:
        target: the wanted share of datapoints at which a hidden unit is one, in (0, 1).
        strength: of the penalty.

    Raises:
        InputError: for a target outside (0, 1), or a strength below zero; when it is used, for
            hidden units that are not bits.
    """
    _check_strength(strength)
    if not 0 < target < 1:
        raise InputError(f"the target of sparsity is {target}: give a number between 0 and 1")

    def penalty(machine: RBM, data: Float[Array, "B V"]) -> Float[Array, ""]:
        if not isinstance(machine.hidden, Bits):
            raise InputError("sparsity is for hidden units that are bits: leave it out")
        field = machine.hidden_field(data)
        log_on = jax.nn.logsumexp(jax.nn.log_sigmoid(field), axis=0)
        log_off = jax.nn.logsumexp(jax.nn.log_sigmoid(-field), axis=0)
        count = jnp.log(data.shape[0])
        cross = target * (log_on - count) + (1 - target) * (log_off - count)
        entropy = target * jnp.log(target) + (1 - target) * jnp.log1p(-target)
        return strength * jnp.sum(entropy - cross)

    return penalty


def _check_strength(strength: float) -> None:
    if is_concrete(strength) and not 0 <= strength < math.inf:
        raise InputError(f"the strength of a penalty is {strength}: give 0 or more")


class LearningState(NamedTuple):
    """What learning carries from one update to the next.

    Attributes:
        negative: the chains of the negative phase.
        offsets: of centring.
    """

    negative: PyTree[Array]
    offsets: Offsets


def make_estimator(
    init: Callable[[Key[Array, ""]], RBM],
    negative_phase: NegativePhase,
    *,
    centring: float | None = 0.01,
    penalties: Sequence[Penalty] = (),
) -> Estimator:
    """A machine with its way of learning, for `make_train_step`, `make_epoch`, replicas and meshes.

    `Params.theta` is the machine. Chains are divided over the mesh axis `particles`, the batch over
    `data`; the numbers are those of one device, but for a penalty that is not linear in the mean
    over the batch: `sparse` takes the mean activity of each device's datapoints, so that on a mesh
    over `data` its penalty is the mean of those of the devices, and no smaller than that of one.

    Args:
        init: key -> machine, as `lambda key: init_rbm(key, 500, data_mean)`.
        negative_phase: of `boltzmann.negative_phases`, as `pcd(num_chains=100)`.
        centring: the share of the batch in the moving averages that centring subtracts; None for
            the plain gradient.
        penalties: added to the loss.

    Returns:
        The estimator, whose state is a `LearningState`. Its metrics: `free_energy_gap`, mean F of
        the data less that of the samples; `pseudo_log_likelihood` in nats per datapoint (bits
        alone); `hidden_activity`; and those of the negative phase.

    Raises:
        InputError: for a share outside (0, 1], or a machine that is no RBM.
    """
    if centring is not None and not 0 < centring <= 1:
        raise InputError(f"centring is {centring}: give a share above 0 and up to 1, or None")

    def begin(key: Key[Array, ""]) -> tuple[Params, LearningState]:
        key_machine, key_chains = jax.random.split(key)
        machine = init(key_machine)
        means = [f.mean(b) for f, b in zip(machine.families, machine.biases, strict=True)]
        chains = negative_phase.init(key_chains, machine)
        return Params(machine, ()), LearningState(chains, Offsets(*means))

    def estimate(
        params: Params, state: LearningState, key: Key[Array, ""], batch: Batch
    ) -> tuple[Estimate, LearningState]:
        machine: RBM = params.theta
        x = batch.x.astype(machine.dtype)
        check_width("datapoints", x.shape, machine.sizes[0])
        key_negative, key_pixel = jax.random.split(key)
        negative, chains, metrics = negative_phase.advance(
            key_negative, lax.stop_gradient(machine), state.negative, batch._replace(x=x)
        )
        positive, samples = sample_of(machine, x), negative.sample
        loss = surrogate(machine, positive, samples, None if centring is None else state.offsets)
        for penalty in penalties:
            loss = loss + penalty(machine, x)
        fixed = lax.stop_gradient(machine)
        hidden = fixed.hidden.mean(positive.field)
        metrics["free_energy_gap"] = free_energy_gap(fixed, positive, samples)
        metrics["hidden_activity"] = jnp.mean(hidden)
        if isinstance(machine.visible, Bits):
            keys = jax.vmap(lambda index: jax.random.fold_in(key_pixel, index))(batch.index)
            places = jax.vmap(lambda key: jax.random.randint(key, (), 0, x.shape[1]))(keys)
            pseudo = _log_conditional(fixed, positive, places)
            metrics["pseudo_log_likelihood"] = x.shape[1] * jnp.mean(pseudo)
        metrics = lax.stop_gradient(metrics)
        new = Offsets(jnp.mean(x, axis=0), jnp.mean(hidden, axis=0))
        return Estimate(loss, jnp.zeros(()), metrics), LearningState(
            chains, _averaged(state.offsets, mean_over_batch(new), centring)
        )

    machine = jax.eval_shape(init, jax.random.key(0))
    if not isinstance(machine, RBM):
        raise InputError(
            f"an estimator trains RBMs, and init makes a {type(machine).__name__}: descend "
            "likelihood_loss, with chains of gibbs_steps"
        )
    return Estimator(begin, estimate, state_of_batch=True, support=machine.visible.support)


def _averaged(old: Offsets, new: Offsets, share: float | None) -> Offsets:
    if share is None:
        return old
    return jax.tree.map(lambda a, b: a + share * (b - a), old, new)


def pseudo_log_likelihood(
    key: Key[Array, ""], machine: RBM, v: Float[Array, "... V"]
) -> Float[Array, "..."]:
    """V log p(v_i | the other visible units) of one unit i that is drawn for each row, nats.

    Its mean over i is the pseudo-log-likelihood, sum_i log p(v_i | v_-i) (Besag 1975).

    Args:
        key: of i. Consumed.
        machine: of visible bits.
        v: datapoints, with any leading axes.

    Raises:
        InputError: for visible units that are no bits, another number of them, or other values.
    """
    if not isinstance(machine.visible, Bits):
        raise InputError("the pseudo-likelihood is of visible units that are bits: leave it out")
    v = jnp.asarray(machine.checked_visible(v), machine.dtype)
    field = machine.hidden_field(v)
    rows = v.reshape(-1, v.shape[-1])
    places = jax.random.randint(key, rows.shape[:1], 0, rows.shape[1])
    sample = Sample(rows, field.reshape(rows.shape[0], -1), jnp.ones(rows.shape[0], v.dtype))
    return (rows.shape[1] * _log_conditional(machine, sample, places)).reshape(v.shape[:-1])


def _log_conditional(machine: RBM, sample: Sample, places: Int[Array, " C"]) -> Float[Array, " C"]:
    """log p(v_i | the other visible units) at one place i of each row, nats; for bits."""
    v, field = sample.visible, sample.field
    bit = jnp.take_along_axis(v, places[:, None], axis=1)
    turn = 1 - 2 * bit
    change = machine.hidden.log_normalizer_difference(field, turn * machine.weights[places])
    log_odds = change + (machine.visible_bias[places, None] * turn)[:, 0]  # of the other value
    return jax.nn.log_sigmoid(-log_odds)
