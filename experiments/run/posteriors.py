"""The posteriors of discrete VAEs: how each is made of the settings, and how it is evaluated."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax

from experiments.run.fields import said_of
from remjax.distributions import Relaxation, Smoothing
from remjax.evaluation.importance_sampling import make_log_likelihood
from remjax.evaluation.undirected import make_undirected_log_likelihood
from remjax.models import (
    IsingHeads,
    RawHeads,
    batch_normalization,
    grouped_recognition,
    undirected_recognition,
)
from remjax.models.initializations import Initialization
from remjax.models.undirected import Heads
from remjax.types import Model, Recognition


class Asked(Protocol):
    """What a posterior reads of the settings of a run."""

    latent_sizes: tuple[int, ...]
    hidden_sizes: tuple[tuple[int, ...], ...]
    num_particles: int
    posterior_groups: int
    shared_context: bool
    posterior_sweeps: int
    relaxed_sweeps: int
    raw_heads: bool
    batch_normalization: bool
    eval_num_particles: int
    eval_temperatures: int
    bits_as: Relaxation | None
    smoothing: Smoothing | None


class Posterior(NamedTuple):
    """A kind of posterior.

    Attributes:
        build: (settings, how data enter it, initial weights) -> the recognition network.
        evaluate: (model, recognition, settings, mesh) -> the compiled evaluation, whose results
            have log_likelihood and ess of each image.
        settings: the names of those that it alone has.
    """

    build: Callable[[Any, Mapping[str, Any], Initialization], Recognition]
    evaluate: Callable[[Model, Recognition, Any, jax.sharding.Mesh | None], Callable[..., Any]]
    settings: frozenset[str]


def _directed(
    settings: Asked,
    inputs: Mapping[str, Any],
    initialization: Initialization,
    *,
    heads: Heads | None = None,
) -> Recognition:
    size = sum(settings.latent_sizes) // settings.posterior_groups
    with said_of(f"--posterior_groups={settings.posterior_groups}"):
        return grouped_recognition(
            **inputs,
            latent_size=sum(settings.latent_sizes),
            # Those that lie within the second side of the prior, whose units are not coupled.
            num_smoothed=max(settings.latent_sizes[-1] // max(size, 1), 1),
            num_groups=settings.posterior_groups,
            hidden_sizes=settings.hidden_sizes[0],
            relaxation=settings.bits_as,
            smoothing=settings.smoothing,
            shared_context=settings.shared_context,
            heads=heads,
            initialization=initialization,
            normalization=batch_normalization() if settings.batch_normalization else None,
        )


def _undirected(
    settings: Asked, inputs: Mapping[str, Any], initialization: Initialization
) -> Recognition:
    visible_size, hidden_size = settings.latent_sizes
    return undirected_recognition(
        **inputs,
        visible_size=visible_size,
        hidden_size=hidden_size,
        hidden_sizes=settings.hidden_sizes[0],
        relaxation=settings.bits_as,
        num_chains=settings.num_particles,
        num_sweeps=settings.posterior_sweeps,
        num_relaxed_sweeps=settings.relaxed_sweeps,
        heads=RawHeads if settings.raw_heads else IsingHeads,
        initialization=initialization,
        normalization=batch_normalization() if settings.batch_normalization else None,
    )


directed = Posterior(
    _directed,
    lambda model, recognition, settings, mesh: make_log_likelihood(
        model, recognition, num_particles=settings.eval_num_particles, mesh=mesh
    ),
    frozenset({"posterior_groups", "shared_context", "relaxed_prior"}),
)

# Only independent bits are smoothed.
machine_groups = directed._replace(
    build=functools.partial(_directed, heads=RawHeads),
    settings=directed.settings - {"relaxed_prior"},
)

undirected = Posterior(
    _undirected,
    lambda model, recognition, settings, mesh: make_undirected_log_likelihood(
        model,
        recognition,
        num_particles=settings.eval_num_particles,
        num_temperatures=settings.eval_temperatures,
        mesh=mesh,
    ),
    frozenset({"posterior_sweeps", "relaxed_sweeps", "raw_heads", "eval_temperatures"}),
)
