"""Neural variational inference and learning (Mnih & Gregor 2014): REINFORCE, centred and scaled.

A learning signal is what log p - log r a draw has. From it are subtracted a network's guess from x
and the running mean of what then remains, and the rest is divided by its running deviation. In a
hierarchy each layer has a signal of its own. The parts are switched on and off one by one.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key, PyTree

from remjax.distributions.base import Distribution
from remjax.distributions.layers import Layers
from remjax.errors import InputError
from remjax.methods.baselines import Baseline, BaselineOf, no_baseline, tanh_baseline
from remjax.methods.combine import Combine, estimate_of
from remjax.methods.method import Method
from remjax.methods.objectives import evidence_lower_bound
from remjax.methods.proposals import from_r
from remjax.methods.row import Row
from remjax.methods.sums import Objective, Summand
from remjax.particles.posterior import Particle, Posterior
from remjax.sharding import mean_over_batch
from remjax.types import Batch, Datapoint, Estimate, Joint, Model, Params, Recognition

_Scalar = Float[Array, ""]


class Signal(NamedTuple):
    """What one draw says to one layer of r.

    Attributes:
        value: the learning signal, nats.
        log_r: log-density of the layer, whose gradient it multiplies.
    """

    value: _Scalar
    log_r: _Scalar


# (log p(x, .), r, z) -> the signal of each stochastic layer.
Signals = Callable[[Joint, Distribution, PyTree], tuple[Signal, ...]]


def whole_signal(joint: Joint, r: Distribution, z: PyTree) -> tuple[Signal, ...]:
    """One signal for all layers: log p(x, z) - log r(z | x)."""
    log_r = r.log_prob(z)
    return (Signal(joint.log_w(z, r), log_r),)


def local_signals(joint: Joint, r: Distribution, z: PyTree) -> tuple[Signal, ...]:
    """A signal per layer, without the terms that the layer does not move (Section 2.3.3).

    Layer l, counted from the data, has log p(z_{l-1}, z_l, ..., z_L) - log r(z_l, ..., z_L |
    z_{l-1}), z_0 = x: unbiased, and of less variance than the whole. Where r has one layer it is
    the whole.

    Raises:
        InputError: for an r of layers drawn bottom up with a prior that is not of the same layers
            drawn top down.
    """
    if not isinstance(r, Layers) or not r.conditionals:
        return whole_signal(joint, r, z)
    prior, size = joint.prior, len(r.conditionals)
    if (
        not isinstance(prior, Layers)
        or len(prior.conditionals) != size
        or not prior.top_down
        or r.top_down
    ):
        raise InputError(
            "local signals need a recognition network drawn bottom up and Model.prior of the same "
            "layers drawn top down: give signals=whole_signal"
        )
    log_r, log_p = r.layer_log_probs(z), prior.layer_log_probs(z)
    log_p = jnp.stack((joint.log_likelihood(z), *(joint.kl_weight * layer for layer in log_p)))
    scaled = joint.kl_weight * jnp.stack(log_r)
    values = [jnp.sum(log_p[at:]) - jnp.sum(scaled[at:]) for at in range(size + 1)]
    return tuple(Signal(*pair) for pair in zip(values, log_r, strict=True))


class SignalStatistics(NamedTuple):
    """The method's state: running statistics of what the baseline leaves of each signal.

    Attributes:
        mean: c [L], nats.
        variance: v [L], nats squared.
        begun: 1 once a batch has been seen, before that 0.
    """

    mean: Float[Array, " L"]
    variance: Float[Array, " L"]
    begun: _Scalar


class _Sums(NamedTuple):
    """Of one layer and datapoint, averages over the particles; log_r and scored carry eta."""

    value: Array
    square: Array
    log_r: Array
    scored: Array


@dataclasses.dataclass(frozen=True)
class SignalSums(Objective):
    """1/K sums of each layer's signal and log r, which the whole batch is needed to centre.

    Attributes:
        signals: of one draw.
    """

    signals: Signals

    def __call__(self, _posterior: Posterior, joint: Joint, r: Distribution) -> Summand:
        """The summands of one particle, of every layer."""

        def summand(particle: Particle) -> tuple[_Sums, ...]:
            def of_layer(signal: Signal) -> _Sums:
                value = lax.stop_gradient(signal.value)
                sums = _Sums(value, jnp.square(value), signal.log_r, value * signal.log_r)
                return jax.tree.map(lambda leaf: leaf / particle.num_particles, sums)

            return tuple(of_layer(signal) for signal in self.signals(joint, r, particle.z))

        return summand

    def __str__(self) -> str:
        """As a formula."""
        return "1/K (log w - C - c) / max(1, sqrt v) log r(z)"


@dataclasses.dataclass(frozen=True)
class Centred(Combine):
    """eta's signals centred by a baseline and a running mean, and scaled (`nvil`).

    Attributes:
        signals: of one draw; those of the method's hyperobjective.
        baseline: (X, number of signals) -> the network C; None for none.
        centring: whether the running mean c is subtracted.
        scaling: whether the rest is divided by the running deviation, where that is above 1.
        lagged: whether c and v are those before this batch.
        decay: of c and v.
    """

    signals: Signals
    baseline: BaselineOf | None
    centring: bool
    scaling: bool
    lagged: bool
    decay: float

    def init(self, key: Key[Array, ""], row: Row) -> tuple[PyTree, SignalStatistics]:
        """The baseline's parameters, and statistics that have not begun."""
        data_size, num_signals = self._sizes(row.model, row.recognition)
        zeros = jnp.zeros(num_signals)
        statistics = SignalStatistics(zeros, zeros + 1.0, jnp.zeros(()))
        return self._network(data_size, num_signals).init(key), statistics

    def estimate(
        self, row: Row, params: Params, state: SignalStatistics, key: Key[Array, ""], batch: Batch
    ) -> tuple[Estimate, SignalStatistics]:
        """The losses; eta's holds the baseline's."""
        terms = row(params, key, batch)
        sums = _Sums(*(jnp.stack(leaves, axis=1) for leaves in zip(*terms.eta, strict=True)))
        num_signals = sums.value.shape[1]
        network = self._network(math.prod(batch.x.shape[1:]), num_signals)
        guessed = jax.vmap(network.value, in_axes=(None, 0))(params.baseline, batch.x)
        left = sums.value - lax.stop_gradient(guessed)
        new = _updated(state, left, sums.square - jnp.square(sums.value), self.decay)
        used = state if self.lagged else new
        centre = used.mean if self.centring else jnp.zeros(num_signals)
        deviation = jnp.maximum(1.0, jnp.sqrt(used.variance))
        scale = deviation if self.scaling else jnp.ones(num_signals)
        return estimate_of(
            terms,
            theta_loss=-jnp.mean(terms.theta),
            eta_loss=-jnp.mean(jnp.sum(_ascended(sums, guessed, centre, scale), axis=1)),
        ), new

    def __str__(self) -> str:
        """As the tables have it."""
        return "eta centred over the batch"

    def _network(self, data_size: int, num_signals: int) -> Baseline:
        return (self.baseline or no_baseline)(data_size, num_signals)

    def _sizes(self, model: Model, recognition: Recognition) -> tuple[int, int]:
        """(X, the number of signals), by abstract evaluation: nothing is computed."""

        def first_signals() -> tuple[Datapoint, tuple[Signal, ...]]:
            key = jax.random.key(0)
            theta = model.init(key)
            z, x = model.dream(theta, key, jnp.zeros(model.support.condition))
            r = recognition.r(recognition.init(key), x)
            # How many there are does not depend on the prior's density, which may have to be
            # normalised first.
            joint = model.joint(theta, x)._replace(log_prior=lambda _: jnp.zeros(()))
            return x, self.signals(joint, r, z)

        x, found = jax.eval_shape(first_signals)
        return math.prod(x.shape), len(found)


def nvil(
    baseline: BaselineOf | None = tanh_baseline,
    centring: bool = True,
    scaling: bool = True,
    lagged: bool = False,
    decay: float = 0.8,
    signals: Signals = local_signals,
) -> Method:
    """Neural variational inference and learning (Mnih & Gregor 2014), of the lower bound.

    theta ascends 1/K sum_k log p_theta(x, z_k). eta follows, for each layer l,
    1/K sum_k (signal_kl - C_l(x) - c_l) / max(1, sqrt(v_l)) grad log r(z_kl). The baseline C has
    parameters of its own, `Params.baseline`: it descends the square of what it leaves, centred and
    scaled alike, sends no gradient to eta and gets none from it.

    Args:
        baseline: (X, number of signals) -> the network C; None leaves it out.
        centring: subtract the running mean c of the signal.
        scaling: divide by the signal's running deviation, where that is above 1.
        lagged: statistics as they were before this batch, which makes the direction of the gradient
            exactly unbiased. By default they include it, as published codes have it: a bias of
            order 1/B, and less variance.
        decay: of the running statistics per update, from 0 to below 1; the first batch starts them.
        signals: a learning signal for each stochastic layer, or one for all.

    Raises:
        InputError: for a decay outside of [0, 1), or neither a baseline nor centring; when
            parameters are made, for signals that the model cannot give.
    """
    if not 0.0 <= decay < 1.0:
        raise InputError(f"decay is {decay}: give a number from 0, and below 1")
    if baseline in (None, no_baseline) and not centring:
        raise InputError(
            "nvil with neither a baseline nor centring is reinforce: give it one of them, or use "
            "reinforce"
        )
    centred = Centred(signals, baseline, centring, scaling, lagged, decay)
    return Method(evidence_lower_bound, from_r, SignalSums(signals), from_r, centred)


def _ascended(
    sums: _Sums, guessed: Float[Array, "B L"], centre: Float[Array, " L"], scale: Float[Array, " L"]
) -> Float[Array, "B L"]:
    """What eta and the baseline ascend, one summand each."""
    fixed = lax.stop_gradient(guessed)
    # The signals of the particles times their scores, minus what is common to a datapoint.
    eta = sums.scored - (fixed + centre) * sums.log_r
    baseline = (sums.value - fixed - centre) * guessed
    return (eta + baseline) / scale


def _updated(
    old: SignalStatistics, left: Float[Array, "B L"], within: Float[Array, "B L"], decay: float
) -> SignalStatistics:
    """The statistics with this batch: what is left of the mean signals, the spread of particles."""
    mean = mean_over_batch(jnp.mean(left, axis=0))
    spread = jnp.square(left - mean) + jnp.maximum(within, 0.0)
    variance = mean_over_batch(jnp.mean(spread, axis=0))
    share = decay * old.begun
    return SignalStatistics(
        mean=share * old.mean + (1.0 - share) * mean,
        variance=share * old.variance + (1.0 - share) * variance,
        begun=jnp.ones(()),
    )
