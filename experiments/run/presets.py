"""Where released codes differ from their papers, for comparison with their numbers only.

Read off the code of Dieng & Paisley 2019: an unweighted covariance with an absolute ridge, a
pathwise leak of v1's theta loss into the encoder, a constant learning rate with Adam in its
epsilon-hat form, an evaluation in two stages, and a test set that is part of the training set. Of
Burda et al. 2015: activity measured at one draw, on 500 training images; Adam with a slower first
moment and second moments that start at one; fewer training images in a fixed order; rounded rates.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key, PyTree

from remjax.distributions import Distribution
from remjax.evaluation.blocks import Images
from remjax.evaluation.latents import LatentUse
from remjax.methods.combine import Combine, Mean
from remjax.methods.method import Method
from remjax.methods.objectives import expected_complete_log_likelihood
from remjax.methods.proposals import from_r
from remjax.methods.rem import rem_v1
from remjax.methods.row import Choices, Row
from remjax.methods.sum_weights import Normalized
from remjax.methods.sums import Sum
from remjax.particles.covariances import (
    Covariance,
    MeanAndCovariance,
    MeanVariance,
    unweighted,
)
from remjax.particles.moments import Moments
from remjax.particles.posterior import Particle
from remjax.types import Batch, Estimate, Joint, Params, Recognition


def unweighted_with_ridge() -> Covariance:
    """The plain scatter around the weighted mean plus 1e-6 I."""
    return Covariance(unweighted().powers, _unweighted_with_ridge)


def _unweighted_with_ridge(
    moments: Moments, proposal: MeanVariance, num_particles: int
) -> MeanAndCovariance:
    mean, sigma = unweighted().match(moments, proposal, num_particles)
    return mean, sigma + 1e-6 * jnp.eye(mean.shape[0])


def log_joint_along_draw(joint: Joint, r: Distribution, particle: Particle) -> Float[Array, ""]:
    """log p(x, z(eta))."""
    return joint(particle.z_along(r))


_LEAK = Choices(
    expected_complete_log_likelihood, from_r, Sum(Normalized(), log_joint_along_draw), from_r
)


@dataclasses.dataclass(frozen=True)
class Leaking(Combine):
    """The mean, and in eta's loss theta's besides, differentiated through the particles of r."""

    def estimate(
        self, row: Row, params: Params, state: Any, key: Key[Array, ""], batch: Batch
    ) -> tuple[Estimate, Any]:
        """The losses; no state."""
        # The same key draws the same particles of r for both.
        estimate, _ = Mean().estimate(row, params, state, key, batch)
        leaked, _ = Mean().estimate(row._replace(method=_LEAK), params, state, key, batch)
        return estimate._replace(eta_loss=estimate.eta_loss + leaked.eta_loss), state

    def __str__(self) -> str:
        """As the tables have it."""
        return "eta by theta's loss too"


def rem_v1_leaky(covariance: Covariance | None = None) -> Method:
    """REM v1 whose theta loss leaks into the encoder, which halves the variance that r learns.

    Args:
        covariance: of s(z), by default shrunk_with_mean.
    """
    return dataclasses.replace(rem_v1(covariance), combine=Leaking())


def rounded_burda_schedule(learning_rate: float, steps_per_epoch: int) -> optax.Schedule:
    """`burda_schedule` with each rate rounded to two digits, as in the release of IWAE.

    At 0.001: 0.001, 0.00072, 0.00052, 0.00037, 0.00027, 0.00019, 0.00014, 0.0001.
    """
    rates = [float(f"{learning_rate * 10.0 ** (-i / 7.0):.1e}") for i in range(8)]
    ends = [steps_per_epoch * (3**i - 1) // 2 for i in range(1, 8)]
    return optax.join_schedules([optax.constant_schedule(rate) for rate in rates], ends)


# (use, recognition, params, key, the first 500 training images) -> the use, its activity measured
# in a way of its own.
Activity = Callable[[LatentUse, Recognition, Params, Key[Array, ""], Images], LatentUse]


def averaged(use: LatentUse, *_: object) -> LatentUse:
    """Activity as the library measures it, over all test images, without the noise of draws."""
    return use


def iwae_release(
    use: LatentUse, recognition: Recognition, params: Params, key: Key[Array, ""], train: Images
) -> LatentUse:
    """Activity as the release of IWAE measures it: on training images, one draw of each layer.

    The mean of a higher layer is taken at one draw of the layer before it, whose noise counts as
    activity.
    """
    x = jnp.asarray(train)

    @jax.jit
    def means(eta: PyTree) -> PyTree:
        keys = jax.random.split(key, len(x))
        return jax.vmap(lambda x, key: recognition.r(eta, x).hard().estimated_mean(key))(x, keys)

    layers = jax.tree.map(lambda layer: np.var(np.asarray(layer), axis=0), means(params.eta))
    return use._replace(activity=layers)


_IWAE: Mapping[str, Any] = {
    "learning_rate": 1e-3,
    # The paper's data bias is that of the output alone.
    "centred_input": False,
    # 1e-4 for a loss summed over the batch of 20.
    "adam_epsilon": 5e-6,
    "initialization": "glorot",
    "batch_size": 20,
    "latent_size": "50",
    "hidden_size": "200",
    "eval_proposal": "recognition",
    "eval_num_particles": 5000,
    "eval_size": 0,
}

# Vahdat et al. 2019, who follow their earlier DVAE#: the rates are those of its code.
_DVAE: Mapping[str, Any] = {
    "model": "dvae",
    "method": "dvae",
    "posterior": "rbm",
    "initialization": "he",
    "epochs": 2000,
    "batch_size": 100,
    "warm_up": 300_000,
    "weight_decay": 1e-4,
    "prior_phase": "population",
    "prior_chains": 1000,
    "prior_sweeps": 1,
    "prior_temperatures": 40,
    "eval_num_particles": 4000,
    "eval_size": 0,
    "binarization": "per_minibatch",
}

# Settings of a whole experiment; what a preset does not name keeps its default.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "rem_paper": {
        "learning_rate": 1e-3,
        "schedule": "burda",
        "adam_epsilon": 5e-6,
        "initialization": "fan_in_uniform",
        "batch_size": 20,
        "latent_size": "20",
        "hidden_size": "200",
        # Whatever the default is: the paper's weighted one fails where the ESS is below D.
        "covariance": "shrunk_with_mean",
        "eval_proposal": "recognition",
    },
    "rem_release": {
        "learning_rate": 1e-3,
        "schedule": "constant",
        "adam_epsilon": 5e-6,
        "epsilon_hat": True,
        "initialization": "fan_in_uniform",
        "mean_output": False,
        "centred_input": False,
        "batch_size": 20,
        "latent_size": "20",
        "hidden_size": "200",
        "covariance": "unweighted_with_ridge",
        "eval_proposal": "two_stage",
        "eval_num_particles": 1000,
    },
    "review": {"batch_size": 100},
    "iwae_paper": _IWAE | {"schedule": "burda"},
    "iwae_release": _IWAE
    | {
        "schedule": "burda_rounded",
        "epsilon_hat": True,
        "adam_b1": 0.99,
        # One for the sum over the 20 images of a batch: the square of 1/20 for their mean.
        "adam_initial_nu": 1.0 / 400.0,
        "order": "as_stored",
        "split": "iwae_release",
        "eval_activity": "iwae_release",
    },
    # As Algorithm 1 has it: all terms at the relaxed bits, and the network's couplings as they are.
    "dvae_paper": _DVAE | {"raw_heads": True},
    # As the code has it: the KL term at means, and couplings of an Ising model, normalised.
    "dvae_release": _DVAE
    | {"log_z_base": "uniform", "log_z_temperatures": 10_000, "log_z_chains": 1024},
}


# (preset, method) -> the form of the method that the preset runs.
_FORMS: Mapping[tuple[str | None, str], str] = {
    ("rem_release", "rem_v1"): "rem_v1_leaky",
    ("dvae_paper", "dvae"): "stl",
}


def form_of(method: str, preset: str | None) -> str:
    """The form of a method that a preset runs: REM's release has a leaky v1."""
    return _FORMS.get((preset, method), method)
