"""Networks with a Gaussian over each weight, by the local reparameterisation trick.

A layer with weights W ~ N(mean, scale^2) turns x into activations that are Gaussian themselves, so
that noise of their size, drawn for each datapoint, stands for noise in the weights. Here this noise
is a layer of the latent, standard normal in the model and in the recognition network alike: its
densities cancel in every weight, particles carry it from the E-step to the M-step, and no estimator
knows of it. Only KL(q(W) || p(W)) is left to add to the losses: `with_weight_divergence`.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.nnx import initializers
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key, PyTree, Shaped

from remjax.distributions.base import Distribution
from remjax.distributions.gaussian import DiagonalGaussian
from remjax.distributions.layers import Layers
from remjax.errors import InputError
from remjax.models.inputs import PerColumn, centred
from remjax.models.latent_variable import Decoder, Prior, latent_variable_model
from remjax.models.likelihoods import Likelihood
from remjax.models.networks import MLP, loc_and_scale, pure
from remjax.types import Batch, Estimate, Estimator, Model, Params, Recognition

# Keeps the root of a variance differentiable where every input is zero.
_SMALLEST_VARIANCE = 1e-12


class UncertainLinear(nnx.Module):
    """x -> x W + bias with W ~ N(mean, exp(log_variance)), through its activations.

    (Kingma et al. 2015; Blundell et al. 2015 draw the weights themselves.) The biases are
    certain.
    """

    def __init__(
        self, in_features: int, out_features: int, *, initial_scale: float, rngs: nnx.Rngs
    ) -> None:
        shape = (in_features, out_features)
        self.mean = nnx.Param(initializers.glorot_uniform()(rngs.params(), shape))
        self.log_variance = nnx.Param(jnp.full(shape, 2.0 * jnp.log(initial_scale)))
        self.bias = nnx.Param(jnp.zeros(out_features))

    def __call__(
        self, x: Float[Array, "*batch X"], noise: Float[Array, "*batch Y"]
    ) -> Float[Array, "*batch Y"]:
        """x mean + bias + noise * sqrt(x^2 exp(log_variance)); noise is standard normal."""
        variance = jnp.square(x) @ jnp.exp(self.log_variance[...])
        loc = x @ self.mean[...] + self.bias[...]
        return loc + jnp.sqrt(variance + _SMALLEST_VARIANCE) * noise


class UncertainMLP(nnx.Module):
    """Dense tanh layers and a linear head, every weight uncertain."""

    def __init__(
        self,
        in_features: int,
        hidden_sizes: Sequence[int],
        out_features: int,
        *,
        initial_scale: float,
        rngs: nnx.Rngs,
    ) -> None:
        sizes = [in_features, *hidden_sizes, out_features]
        self.layers = nnx.List(
            [
                UncertainLinear(m, n, initial_scale=initial_scale, rngs=rngs)
                for m, n in itertools.pairwise(sizes)
            ]
        )

    def __call__(
        self, x: Float[Array, "*batch X"], noise: Float[Array, "*batch E"]
    ) -> Float[Array, "*batch Y"]:
        """The output of the head; `noise` is that of all layers, one after the other."""
        ends = np.cumsum([layer.bias.shape[0] for layer in self.layers])
        *hidden, head = zip(self.layers, jnp.split(noise, ends[:-1], axis=-1), strict=True)
        for layer, own_noise in hidden:
            x = jnp.tanh(layer(x, own_noise))
        layer, own_noise = head
        return layer(x, own_noise)


def uncertain_gaussian_networks(
    likelihood: Likelihood,
    data_mean: PerColumn,
    *,
    latent_size: int,
    hidden_sizes: Sequence[int],
    decoder: bool = True,
    encoder: bool = True,
    data_scale: PerColumn | None = None,
    initial_scale: float = 0.05,
) -> tuple[Model, Recognition]:
    """`gaussian_model` and `gaussian_recognition` with Gaussian weights in either or both.

    The latent is (noise, z). With one particle, or the average of several that `vae` takes, the
    bound is E_q(W)[L(x; W)]. Where several are weighted against one another, each has weights of
    its own, and log_evidence estimates log E_q(W)[p(x; W)].

    Args:
        likelihood: of the data given the output of the decoder.
        data_mean: [X], subtracted from the encoder's input.
        latent_size: D.
        hidden_sizes: widths of the tanh layers, from x to z; the decoder has them in reverse.
        decoder: whether the decoder's weights are uncertain.
        encoder: whether the encoder's are.
        data_scale: as in `gaussian_recognition`.
        initial_scale: standard deviation of the weights at the start.

    Returns:
        (model, recognition), made together because they share the noise.

    Raises:
        InputError: for an initial scale that is not positive, or certain weights in both, and as
            `gaussian_recognition`.
    """
    if not (decoder or encoder):
        raise InputError("all weights are certain: use gaussian_model and gaussian_recognition")
    if not initial_scale > 0:
        raise InputError(f"initial_scale is {initial_scale}: give a positive one")
    centre, data_size = centred(data_mean, data_scale)
    upward = tuple(hidden_sizes)
    init_decoder, decode, decoder_noise = _network(
        (latent_size, *upward[::-1], data_size), initial_scale if decoder else None
    )
    init_encoder, encode, encoder_noise = _network(
        (data_size, *upward, 2 * latent_size), initial_scale if encoder else None
    )
    noise_size = decoder_noise + encoder_noise
    noise_prior = DiagonalGaussian(jnp.zeros(noise_size), jnp.ones(noise_size))
    # Drawn from the top down: z, then the noise, which does not depend on it.
    top = DiagonalGaussian(jnp.zeros(latent_size), jnp.ones(latent_size))
    prior = Layers(top, (Partial(lambda _: noise_prior),), top_down=True)

    def init_network(key: Key[Array, ""]) -> PyTree:
        params = init_decoder(key)
        head = params["layers"][len(upward)] if decoder else params["head"]
        head["bias"] = head["bias"] + likelihood.output_bias
        return params

    def z_given_noise(
        given: tuple[PyTree, Shaped[Array, "..."]], drawn: tuple[Float[Array, " E"]]
    ) -> Distribution:
        (eta, x), (noise,) = given, drawn
        return DiagonalGaussian(*loc_and_scale(encode(eta, centre(x), noise[decoder_noise:])))

    model = latent_variable_model(
        likelihood,
        Prior(init=lambda _: (), distribution=lambda _: prior),
        Decoder(init_network, lambda params, z: decode(params, z[1], z[0][:decoder_noise])),
    )
    recognition = Recognition(
        init=init_encoder,
        distribution=lambda eta, x: Layers(noise_prior, (Partial(z_given_noise, (eta, x)),)),
    )
    return model, recognition


def weight_divergence(params: PyTree, prior_scale: float = 1.0) -> Float[Array, ""]:
    """KL(q(W) || N(0, prior_scale^2)) in nats, over all uncertain weights among the parameters.

    1/2 sum (mean^2 + scale^2) / prior_scale^2 - 1 - log(scale^2 / prior_scale^2). Carries gradient.
    """

    def uncertain(node: Any) -> bool:
        return isinstance(node, dict) and "log_variance" in node

    def of_layer(layer: dict[str, Array]) -> Float[Array, ""]:
        ratio = layer["log_variance"] - 2.0 * jnp.log(prior_scale)
        square = jnp.square(layer["mean"] / prior_scale)
        return 0.5 * jnp.sum(square + jnp.exp(ratio) - 1.0 - ratio)

    layers = jax.tree.leaves(params, is_leaf=uncertain)
    return sum((of_layer(layer) for layer in layers if uncertain(layer)), jnp.zeros(()))


def with_weight_divergence(
    estimator: Estimator, *, num_data: int, prior_scale: float = 1.0
) -> Estimator:
    """The estimator of the bound on the evidence of weights and data together.

    Adds KL(q(W) || p(W)) / N to the loss of the parameters that the weights belong to: the bound of
    a data set is sum_n L(x_n) - KL, of which an N-th falls to each datapoint (Kingma et al. 2015;
    Blundell et al. 2015).

    Args:
        estimator: of networks with uncertain weights in decoder, encoder or both.
        num_data: N.
        prior_scale: standard deviation of the prior of each weight.

    Returns:
        The estimator; its metrics gain `weight_divergence`, nats, of the whole data set.
        `log_evidence` is without it.

    Raises:
        InputError: for a number of data or a prior scale that is not positive.
    """
    if num_data < 1 or not prior_scale > 0:
        raise InputError(
            f"num_data is {num_data} and prior_scale is {prior_scale}: give positive numbers"
        )

    def estimate(
        params: Params, state: PyTree, key: Key[Array, ""], batch: Batch
    ) -> tuple[Estimate, PyTree]:
        estimate, state = estimator.estimate(params, state, key, batch)
        of_theta = weight_divergence(params.theta, prior_scale)
        of_eta = weight_divergence(params.eta, prior_scale)
        return estimate._replace(
            theta_loss=estimate.theta_loss + of_theta / num_data,
            eta_loss=estimate.eta_loss + of_eta / num_data,
            metrics=estimate.metrics | {"weight_divergence": of_theta + of_eta},
        ), state

    return estimator._replace(estimate=estimate)


def _network(
    sizes: Sequence[int], initial_scale: float | None
) -> tuple[Callable[[Key[Array, ""]], PyTree], Callable[..., Float[Array, " Y"]], int]:
    """(init, apply, size of the noise) of an MLP; its weights are certain without a scale."""
    first, *hidden, last = sizes
    if initial_scale is None:
        init, bind = pure(lambda rngs: MLP(first, hidden, last, rngs=rngs))
        return init, lambda params, x, _noise: bind(params)(x), 0
    init, bind = pure(
        lambda rngs: UncertainMLP(first, hidden, last, initial_scale=initial_scale, rngs=rngs)
    )
    return init, lambda params, x, noise: bind(params)(x, noise), sum(hidden) + last
