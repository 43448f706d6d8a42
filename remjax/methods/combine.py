"""How the terms of the datapoints of a batch become two losses: frozen values.

Most methods take the mean. Others combine several draws of each datapoint (`Groups`), centre a
signal by what the whole batch says (`nvil`), or let eta learn from the model's own samples
(`additions`).
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from remjax.errors import InputError
from remjax.methods.batches import Terms, batch_mean
from remjax.methods.row import Particles, Row
from remjax.particles.weights import log_mean_exp, normalize_log_weights
from remjax.types import Batch, Estimate, Params


class Combine(abc.ABC):
    """How the terms of datapoints become two losses, and what it remembers of earlier batches."""

    def check(self, particles: Particles) -> None:
        """Raise InputError for particles that it cannot combine; by default none."""
        del particles

    def init(self, key: Key[Array, ""], row: Row) -> tuple[PyTree, PyTree]:
        """(the parameters of a baseline, the state) at the start; consumes the key.

        The state comes out the same on every device that shares a batch.
        """
        del key, row
        return (), ()

    @abc.abstractmethod
    def estimate(
        self, row: Row, params: Params, state: Any, key: Key[Array, ""], batch: Batch
    ) -> tuple[Estimate, Any]:
        """The losses of a batch, and the state after it. Consumes the key.

        Args:
            row: the method with its model, recognition network and particles:
                row(params, key, batch) gives the `Terms` of every datapoint.
            params: theta's term has its gradient in theta alone, eta's in eta alone.
            state: as `init` made it.
            key: of the step.
            batch: B datapoints.
        """


def estimate_of(terms: Terms, theta_loss: Float[Array, ""], eta_loss: Float[Array, ""]) -> Estimate:
    """An estimate with these losses and what else the terms of the batch say."""
    metrics = jax.tree.map(jnp.mean, terms.metrics)
    return Estimate(theta_loss, eta_loss, metrics, terms.memory, terms.statistics)


@dataclasses.dataclass(frozen=True)
class Mean(Combine):
    """The mean over the datapoints, as many at a time as keep one chunk of particles in flight."""

    def estimate(
        self, row: Row, params: Params, state: Any, key: Key[Array, ""], batch: Batch
    ) -> tuple[Estimate, Any]:
        """Minus the means of both terms; no state."""
        size = row.datapoints_at_a_time(params, key, batch)
        terms = batch_mean(row, params, key, batch, size)
        return estimate_of(terms, -terms.theta, -terms.eta), state

    def __str__(self) -> str:
        """As the tables have it."""
        return "mean"


# The log-evidences of the groups of ONE datapoint, nats -> what each group's gradient is worth.
GroupShares = Callable[[Float[Array, " G"]], Float[Array, " G"]]


def equal_shares(log_evidence: Float[Array, " G"]) -> Float[Array, " G"]:
    """1/G each: the average of the groups' bounds."""
    return jnp.full_like(log_evidence, 1.0 / log_evidence.shape[0])


def evidence_shares(log_evidence: Float[Array, " G"]) -> Float[Array, " G"]:
    """In proportion to each group's evidence: the bound of all particles together."""
    return normalize_log_weights(log_evidence)


@dataclasses.dataclass(frozen=True)
class Groups(Combine):
    """The K particles of a datapoint in G groups of K / G, whose gradients are averaged.

    theta ascends sum_g share_g(theta) theta_g, eta ascends sum_g share_g(eta) eta_g, where theta_g
    and eta_g are the terms of the group by itself, its weights normalised in the group (Rainforth
    et al. 2018). A group is drawn as a datapoint of its own would be.

    Attributes:
        num_groups: G; it must divide K.
        theta_shares: of the groups in theta's gradient: `equal_shares` or `evidence_shares`.
        eta_shares: of the groups in eta's.
    """

    num_groups: int
    theta_shares: GroupShares
    eta_shares: GroupShares

    def check(self, particles: Particles) -> None:
        """Raise InputError where the groups do not divide the particles, or keep more than all."""
        if self.num_groups < 1 or particles.num_particles % self.num_groups:
            raise InputError(
                f"num_groups is {self.num_groups}: give a number that divides "
                f"num_particles={particles.num_particles}"
            )
        of_each = particles.num_particles // self.num_groups
        if particles.keep is not None and particles.keep > of_each:
            raise InputError(
                f"keep is {particles.keep}: it is for each group, and each of the "
                f"{self.num_groups} groups has {of_each} particles: keep no more"
            )

    def estimate(
        self, row: Row, params: Params, state: Any, key: Key[Array, ""], batch: Batch
    ) -> tuple[Estimate, Any]:
        """The losses of all groups together; no state."""
        groups = self.num_groups
        count = row.particles.num_particles // groups
        row = row._replace(particles=dataclasses.replace(row.particles, num_particles=count))
        names = batch.index[None, :] * groups + jnp.arange(groups)[:, None]
        copies = jax.tree.map(
            lambda leaf: jnp.tile(leaf, (groups, *[1] * (leaf.ndim - 1))), batch
        )._replace(index=names.reshape(-1))
        terms = row(params, key, copies)
        # Each group goes on from the same memory; that of the first is kept.
        memory = jax.tree.map(lambda leaf: leaf[: batch.x.shape[0]], terms.memory)
        terms = terms.map(lambda leaf: leaf.reshape(groups, -1))._replace(memory=memory)
        return over_groups(terms, self.theta_shares, self.eta_shares), state

    def __str__(self) -> str:
        """As the tables have it."""
        both = self.theta_shares, self.eta_shares
        shares = ", ".join(function.__name__.partition("_")[0] for function in both)
        return f"{self.num_groups} groups: {shares}"


def over_groups(terms: Terms, theta_shares: GroupShares, eta_shares: GroupShares) -> Estimate:
    """The estimate of a batch of which there are several terms for each datapoint.

    Args:
        terms: of every group and datapoint [G, B]; memories of the datapoints [B].
        theta_shares: of the groups in theta's gradient.
        eta_shares: of the groups in eta's.

    Returns:
        The estimate. Its log_evidence is that of all particles together, and ess and hyper_ess are
        those of the weights that each particle has in the end.
    """
    log_evidence = terms.metrics["log_evidence"]
    for_theta = jax.vmap(theta_shares, in_axes=1, out_axes=1)(log_evidence)
    for_eta = jax.vmap(eta_shares, in_axes=1, out_axes=1)(log_evidence)
    metrics = {
        "log_evidence": log_mean_exp(log_evidence.T),
        "ess": _ess(for_theta, terms.metrics["ess"]),
        "hyper_ess": _ess(for_eta, terms.metrics["hyper_ess"]),
        "scored": jnp.sum(terms.metrics["scored"], axis=0),
    }
    return estimate_of(
        terms._replace(metrics=metrics),
        theta_loss=-jnp.mean(jnp.sum(for_theta * terms.theta, axis=0)),
        eta_loss=-jnp.mean(jnp.sum(for_eta * terms.eta, axis=0)),
    )


def _ess(shares: Float[Array, "G B"], ess: Float[Array, "G B"]) -> Float[Array, " B"]:
    """1 / sum_g share_g^2 / ess_g; 0 where no group has a possible particle."""
    square = jnp.sum(jnp.where(ess == 0.0, 0.0, jnp.square(shares) / ess), axis=0)
    return jnp.where(square == 0.0, 0.0, 1.0 / square)
