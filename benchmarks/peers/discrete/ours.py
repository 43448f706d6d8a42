"""remjax: updates of discrete VAEs, so many in one compiled program, as `make_epoch` makes them.

With the metrics, and with the check that the gradient is finite.
"""

import jax.numpy as jnp
import optax

from benchmarks.peers.discrete.work import (
    ADAM_EPSILON,
    HIDDEN_SIZE,
    LEARNING_RATE,
    PRIOR_CHAINS,
    PRIOR_SWEEPS,
    SHARPNESS,
    SWEEPS,
    DiscreteWork,
    data,
)
from benchmarks.peers.updates import prepared_updates
from benchmarks.peers.work import Prepared
from remjax import boltzmann, methods
from remjax.distributions import PiecewiseLinear
from remjax.methods.method import make_estimator
from remjax.methods.row import Particles
from remjax.models import (
    batch_normalization,
    bernoulli_likelihood,
    boltzmann_model,
    grouped_recognition,
    undirected_recognition,
    with_boltzmann_prior,
)
from remjax.types import Recognition

_LAYERS = {"hidden_sizes": (HIDDEN_SIZE, HIDDEN_SIZE), "normalization": batch_normalization()}
_BITS = {"relaxation": PiecewiseLinear(SHARPNESS)}


def dvae(work: DiscreteWork) -> Prepared:
    """Independent bits as posterior."""
    mean = data(work).mean(axis=0)
    return _updates(work, grouped_recognition(mean, latent_size=2 * work.bits, **_LAYERS, **_BITS))


def dvae_machine(work: DiscreteWork) -> Prepared:
    """Machines as posteriors."""
    recognition = undirected_recognition(
        data(work).mean(axis=0),
        visible_size=work.bits,
        hidden_size=work.bits,
        num_sweeps=SWEEPS,
        **_LAYERS,
        **_BITS,
    )
    return _updates(work, recognition)


def _updates(work: DiscreteWork, recognition: Recognition) -> Prepared:
    rows = jnp.asarray(data(work))
    sides = {"visible_size": work.bits, "hidden_size": work.bits}
    model = boltzmann_model(bernoulli_likelihood(data(work).mean(axis=0)), **sides, **_LAYERS)
    estimator = make_estimator(model, recognition, methods.dvae, Particles(1))
    estimator = with_boltzmann_prior(estimator, boltzmann.pcd(PRIOR_CHAINS, PRIOR_SWEEPS))
    optimizer = optax.adam(LEARNING_RATE, eps=ADAM_EPSILON)
    return prepared_updates(estimator, optimizer, rows, work.batch_size, work.steps)
