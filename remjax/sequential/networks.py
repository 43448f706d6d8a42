"""Nonlinear state-space models and their proposals, of the library's networks."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from remjax.distributions.gaussian import DiagonalGaussian
from remjax.models.initializations import Initialization, glorot
from remjax.models.inputs import PerColumn, centred
from remjax.models.latent_variable import dense_decoder
from remjax.models.likelihoods import Likelihood, marginalized
from remjax.models.networks import MLP, loc_and_scale, pure
from remjax.sequential.state_space import (
    Observation,
    StateSpaceModel,
    StepRecognition,
    emission,
)
from remjax.types import Latent


def network_model(
    likelihood: Likelihood,
    *,
    latent_size: int,
    hidden_sizes: Sequence[int],
    initialization: Initialization = glorot,
) -> StateSpaceModel:
    """z_t = N(z_{t-1} + f(z_{t-1}), diag(g(z_{t-1})^2)), x_t of the likelihood of an MLP of z_t.

    z_1 is a diagonal Gaussian with parameters of its own, which starts standard normal. f and g are
    an MLP's (tanh layers). Entries of x that are NaN were not observed, and are summed out
    (`models.marginalized`).

    Args:
        likelihood: of one row x_t: bits, real numbers, counts.
        latent_size: D.
        hidden_sizes: widths of the tanh layers, of both networks.
        initialization: of the linear layers.
    """
    rows = marginalized(likelihood)
    init_move, bind = pure(
        lambda rngs: MLP(
            latent_size, hidden_sizes, 2 * latent_size, initialization=initialization, rngs=rngs
        )
    )
    decoder = dense_decoder(
        likelihood.output_bias,
        latent_size=latent_size,
        hidden_sizes=hidden_sizes,
        initialization=initialization,
    )

    def init(key: Key[Array, ""]) -> PyTree:
        key_move, key_out = jax.random.split(key)
        return {
            "initial": {"loc": jnp.zeros(latent_size), "log_scale": jnp.zeros(latent_size)},
            "transition": init_move(key_move),
            "emission": decoder.init(key_out),
            "likelihood": jax.tree.map(jnp.array, rows.init),
        }

    def initial(theta: PyTree) -> DiagonalGaussian:
        own = theta["initial"]
        return DiagonalGaussian(own["loc"], jnp.exp(own["log_scale"]))

    def transition(theta: PyTree, z: Latent) -> DiagonalGaussian:
        shift, scale = loc_and_scale(bind(theta["transition"])(z))
        return DiagonalGaussian(z + shift, scale)

    return StateSpaceModel(
        init=init,
        initial=initial,
        transition=transition,
        emission=lambda theta, z: emission(
            rows, theta["likelihood"], decoder.output(theta["emission"], z)
        ),
        support=rows.support,
    )


def network_recognition(
    data_mean: PerColumn,
    *,
    latent_size: int,
    hidden_sizes: Sequence[int],
    data_scale: PerColumn | None = None,
    initialization: Initialization = glorot,
) -> StepRecognition:
    """r(z_t | z_{t-1}, x_t) = N(z_{t-1} + f, diag(g^2)), f and g an MLP's of (z_{t-1}, x_t).

    For z_1 the place of z_0 is learned.

    Args:
        data_mean: [X], subtracted from x_t.
        latent_size: D.
        hidden_sizes: widths of the tanh layers.
        data_scale: the centred x_t is divided by it: [X], or one number for all columns.
        initialization: of the linear layers.

    Raises:
        InputError: as `models.gaussian_recognition`.
    """
    centre, data_size = centred(data_mean, data_scale)
    init_network, bind = pure(
        lambda rngs: MLP(
            latent_size + data_size,
            hidden_sizes,
            2 * latent_size,
            initialization=initialization,
            rngs=rngs,
        )
    )

    def init(key: Key[Array, ""]) -> PyTree:
        return {"network": init_network(key), "start": jnp.zeros(latent_size)}

    def transition(eta: PyTree, z: Latent, x: Observation) -> DiagonalGaussian:
        shift, scale = loc_and_scale(bind(eta["network"])(jnp.concatenate([z, centre(x)])))
        return DiagonalGaussian(z + shift, scale)

    return StepRecognition(
        init=init,
        initial=lambda eta, x: transition(eta, eta["start"], x),
        transition=transition,
    )
