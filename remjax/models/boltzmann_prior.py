"""Models whose prior is a Boltzmann machine, and what keeps it normalised while it learns.

    model = boltzmann_model(likelihood, visible_size=100, hidden_size=100)
    estimator = make_estimator(model, recognition, rws(), Particles(10))
    estimator = with_boltzmann_prior(estimator, boltzmann.pcd(num_chains=500, num_sweeps=5))

theta has the machine alone. Before the functions of the model see it, the machine is replaced by
one with log Z, a number that brings its own gradient (`NormalizedMachine`), so that no method
knows of log Z and whatever coefficients it gives log p(z) are right.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key, PyTree

from remjax import sharding
from remjax.boltzmann.likelihood import Sample
from remjax.boltzmann.machine import check_count
from remjax.boltzmann.mean_field import log_z_bound
from remjax.boltzmann.normalized import NormalizedMachine, log_z_along
from remjax.boltzmann.partition import LogPartition
from remjax.boltzmann.phases import NegativePhase
from remjax.boltzmann.rbm import RBM
from remjax.boltzmann.smoothed import SmoothedMachine
from remjax.distributions.relaxations import Relaxation
from remjax.distributions.smoothings import as_smoothing
from remjax.errors import InputError
from remjax.models.initializations import Initialization, glorot
from remjax.models.latent_variable import Prior, dense_decoder, latent_variable_model
from remjax.models.likelihoods import Likelihood
from remjax.models.networks import Normalization
from remjax.types import Batch, Estimate, Estimator, Model, Params

# Of the stand-in for log Z where the negative phase estimates none.
_MEAN_FIELD_SWEEPS = 5


def boltzmann_prior(
    visible_size: int, hidden_size: int, smoothing: Relaxation | None = None, num_sweeps: int = 5
) -> Prior:
    """A restricted Boltzmann machine of bits, all of whose parameters start at zero.

    Args:
        visible_size: n1, bits of the first block.
        hidden_size: n2, bits of the second.
        smoothing: None for bits; else a mixture of a density for each, such as
            `distributions.PowerFunction()`, for a prior over the numbers
            (`boltzmann.SmoothedMachine`).
        num_sweeps: of mean field, in the density of smoothed bits.

    Raises:
        InputError: for a size or a number of sweeps below one, or a relaxation that is no mixture
            of two densities.
    """
    smoothed = None if smoothing is None else as_smoothing(smoothing)
    check_count("num_sweeps", num_sweeps)
    for name, size in (("visible_size", visible_size), ("hidden_size", hidden_size)):
        if size < 1:
            raise InputError(f"{name} is {size}: give at least 1 bit")

    def init(_: Key[Array, ""]) -> RBM:
        return RBM(
            jnp.zeros((visible_size, hidden_size)), jnp.zeros(visible_size), jnp.zeros(hidden_size)
        )

    def distribution(machine: RBM | NormalizedMachine) -> NormalizedMachine | SmoothedMachine:
        known = isinstance(machine, NormalizedMachine)
        bits = machine if known else NormalizedMachine(machine)
        return bits if smoothed is None else SmoothedMachine(bits, smoothed, num_sweeps)

    return Prior(init, distribution)


def boltzmann_model(
    likelihood: Likelihood,
    *,
    visible_size: int,
    hidden_size: int,
    hidden_sizes: Sequence[int] = (200, 200),
    smoothing: Relaxation | None = None,
    initialization: Initialization = glorot,
    normalization: Normalization | None = None,
) -> Model:
    """p_theta(z) a restricted Boltzmann machine, p_theta(x | z) = likelihood(MLP of z).

    The latent is one vector of bits [n1 + n2], both blocks of the machine, or of numbers between 0
    and 1 that stand for relaxed ones (Vahdat et al. 2019, Section 4), scored by the energy as bits
    are (GumBolt, Khoshaman & Amin 2018). With a smoothing it is a vector of numbers with the
    density p(zeta) = sum_z p(z) prod_i r(zeta_i | z_i) (DVAE#, Vahdat, Andriyash & Macready 2018),
    for a recognition network with the same smoothing (`grouped_recognition`); evaluation scores the
    bits all the same.

    Args:
        likelihood: of the data given the output of the decoder.
        visible_size: n1, bits of the machine's first block.
        hidden_size: n2, bits of its second.
        hidden_sizes: widths of the tanh layers, from x to z; the decoder has them in reverse.
        smoothing: as in `boltzmann_prior`, with five sweeps of mean field.
        initialization: of the linear layers.
        normalization: of the tanh layers, such as `batch_normalization()`; None for none.

    Returns:
        The model. Its density needs log Z: see `with_boltzmann_prior` and `normalize_prior`.
        `sample` runs a chain of 1,000 sweeps where theta has no samples.

    Raises:
        InputError: for a size below one, or a relaxation that is no mixture of two densities.
    """
    prior = boltzmann_prior(visible_size, hidden_size, smoothing)
    decoder = dense_decoder(
        likelihood.output_bias,
        latent_size=visible_size + hidden_size,
        hidden_sizes=tuple(reversed(hidden_sizes)),
        initialization=initialization,
        normalization=normalization,
    )
    return latent_variable_model(likelihood, prior, decoder)


def prior_machine(theta: PyTree) -> RBM:
    """The machine among the parameters of a model, for `boltzmann.ais` and what else measures it.

    Raises:
        InputError: where there is none, or more than one.
    """
    found = [leaf for leaf in jax.tree.leaves(theta, is_leaf=_is_machine) if _is_machine(leaf)]
    if len(found) != 1:
        raise InputError(
            f"theta has {len(found)} Boltzmann machines: give the parameters of a model with one "
            "as its prior, such as models.boltzmann_model"
        )
    return found[0].machine if isinstance(found[0], NormalizedMachine) else found[0]


def normalize_prior(theta: PyTree, log_z: LogPartition | Float[Array, ""] | float) -> PyTree:
    """theta whose machine has this log Z, for evaluation, posteriors and pictures.

    An estimate of log Z by forward annealing is too small on average and makes a likelihood too
    large: report one with the upper end of `boltzmann.bracket` too. A log-likelihood with another
    log Z differs by minus the difference.

    Args:
        theta: of a model with a machine as its prior.
        log_z: nats; or a record of `boltzmann.exact`, `ais` or `population_annealing`, whose
            weighted samples `Model.sample` then draws from.
    """
    machine, record = prior_machine(theta), log_z
    if not isinstance(record, LogPartition):
        return _with_machine(theta, NormalizedMachine(machine, jnp.asarray(record, machine.dtype)))
    visible = None if record.samples is None else record.samples.visible
    log_weights = None if record.samples is None else record.log_weights
    return _with_machine(theta, NormalizedMachine(machine, record.log_z, visible, log_weights))


class PriorState(NamedTuple):
    """What learning a machine as a prior carries from one update to the next.

    Attributes:
        inner: the state of the estimator that is wrapped.
        negative: the chains of the negative phase.
    """

    inner: PyTree
    negative: PyTree[Array]


def with_boltzmann_prior(
    estimator: Estimator, negative_phase: NegativePhase, *, weight_decay: float = 0.0
) -> Estimator:
    """The estimator of any method, for a model with a Boltzmann machine as its prior.

    In every update the negative phase advances its chains, and log p(z) = -E(z) - log Z has the
    gradient -dE(z) + mean dF(v) over their visible units v. The value of log Z is that of the
    negative phase where it estimates one (`boltzmann.population`). Else it is the mean-field lower
    bound: it serves learning signals, which do not mind a constant, and is not reported.

    Args:
        estimator: as `make_estimator` gives it.
        negative_phase: `boltzmann.pcd`, `tempered_pcd` or `population`. Its chains are divided over
            the mesh axis `particles`.
        weight_decay: adds weight_decay / 2 times the sum of the squared couplings to theta's loss,
            nats; 1e-4 in the code of Vahdat et al. 2019.

    Returns:
        The estimator, whose state is a `PriorState`; its metrics gain those of the negative phase.
        Where that gives no log Z, they have `unnormalized_log_evidence`, the mean of
        log 1/K sum_k w_k plus log Z, in the place of log_evidence: subtract an estimate of log Z,
        and while the method warms up that times the metric `kl_weight`.
        Its `Params.theta` has the machine without log Z.

    Raises:
        InputError: for a negative phase that begins at data, or a weight decay that is negative;
            when parameters are made, for a model without a machine.
    """
    if negative_phase.needs_data:
        raise InputError(
            "the units of a prior are in no data set for chains to begin at: give boltzmann.pcd(), "
            "tempered_pcd() or population()"
        )
    if not weight_decay >= 0.0:
        raise InputError(f"weight_decay is {weight_decay}: give zero or a positive number")

    def init(key: Key[Array, ""]) -> tuple[Params, PriorState]:
        key, key_chains = jax.random.split(key)
        params, inner = estimator.init(key)
        machine = prior_machine(params.theta)
        return params, PriorState(inner, negative_phase.init(key_chains, machine))

    def estimate(
        params: Params, state: PriorState, key: Key[Array, ""], batch: Batch
    ) -> tuple[Estimate, PriorState]:
        key, key_chains = jax.random.split(key)
        machine = prior_machine(params.theta)
        fixed = lax.stop_gradient(machine)
        negative, chains, metrics = negative_phase.advance(key_chains, fixed, state.negative, batch)
        visible, weights = _of_all_devices(negative.sample)
        log_z = negative.log_z
        if log_z is None:
            means = jnp.average(visible, axis=0, weights=weights)
            log_z = log_z_bound(fixed, means, _MEAN_FIELD_SWEEPS)
        along = log_z_along(machine, log_z, negative.sample)
        normalized = NormalizedMachine(machine, along, visible, jnp.log(weights))
        seen = params._replace(theta=_with_machine(params.theta, normalized))
        estimate, inner = estimator.estimate(seen, state.inner, key, batch)
        metrics |= estimate.metrics
        if negative.log_z is None:
            of_log_z = metrics.get("kl_weight", 1.0)
            metrics["unnormalized_log_evidence"] = metrics.pop("log_evidence") + of_log_z * log_z
        decay = 0.5 * weight_decay * jnp.sum(jnp.square(machine.weights))
        loss = estimate._replace(
            theta_loss=estimate.theta_loss + decay,
            metrics=metrics,
            statistics=_renumbered(estimate.statistics, seen, params),
        )
        return loss, PriorState(inner, chains)

    return estimator._replace(init=init, estimate=estimate)


def _renumbered(found: dict[int, Array], seen: Params, params: Params) -> dict[int, Array]:
    """Batch statistics, by the number of their leaf among those without log Z."""
    # The very leaves of params, and log Z and samples among them.
    places = {id(leaf): place for place, leaf in enumerate(jax.tree.leaves(params))}
    leaves = jax.tree.leaves(seen)
    return {places[id(leaves[number])]: value for number, value in found.items()}


def _of_all_devices(sample: Sample) -> tuple[Float[Array, "C V"], Float[Array, " C"]]:
    """Visible units and weights of all devices that share the chains, as one device has them."""
    parts = sharding.of_all_devices((sample.visible, sample.weights))
    visible, weights = (jnp.concatenate(column) for column in zip(*parts, strict=True))
    return visible, weights


def _is_machine(node: Any) -> bool:
    return isinstance(node, RBM | NormalizedMachine)


def _with_machine(theta: PyTree, machine: NormalizedMachine) -> PyTree:
    return jax.tree.map(
        lambda leaf: machine if _is_machine(leaf) else leaf, theta, is_leaf=_is_machine
    )
