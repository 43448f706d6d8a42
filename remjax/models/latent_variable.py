"""Latent-variable models of their parts: a prior, a network of the latent, and a likelihood."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key, PyTree, Shaped

from remjax.distributions.base import Distribution
from remjax.errors import InputError
from remjax.models.initializations import Initialization, glorot
from remjax.models.inputs import check_datapoint
from remjax.models.likelihoods import Likelihood
from remjax.models.networks import MLP, Normalization, pure
from remjax.types import Conditional, Decoded, Model


class Prior(NamedTuple):
    """p_theta(z) and the start of its parameters.

    Attributes:
        init: key -> its parameters, () for none.
        distribution: parameters -> the distribution of z.
    """

    init: Callable[[Key[Array, ""]], PyTree]
    distribution: Callable[[PyTree], Distribution]


class Decoder(NamedTuple):
    """A network from z to what the likelihood takes.

    Attributes:
        init: key -> its parameters.
        output: (parameters, z) -> [X]; of a decoder with a condition (parameters, (z, c)) -> [X].
        condition_size: C, of the condition that it takes beside z; 0 for none.
    """

    init: Callable[[Key[Array, ""]], PyTree]
    output: Callable[[PyTree, PyTree[Array]], Float[Array, " X"]]
    condition_size: int = 0


def dense_decoder(
    output_bias: Float[Array, " X"],
    *,
    latent_size: int,
    hidden_sizes: Sequence[int],
    initialization: Initialization = glorot,
    normalization: Normalization | None = None,
    nearest: Callable[[PyTree[Array]], Float[Array, " D"]] = lambda z: z,
    condition_size: int = 0,
) -> Decoder:
    """An MLP with tanh layers, of z or of z with a condition behind it.

    Args:
        output_bias: added to the bias of the last layer at the start.
        latent_size: D, of the layer of z that the data depend on.
        hidden_sizes: widths of the tanh layers, from z to x.
        initialization: of the linear layers.
        normalization: of the tanh layers, such as `batch_normalization()`; None for none.
        nearest: z -> the layer of it that the data depend on.
        condition_size: C, numbers that a condition has; 0 for no condition.
    """
    data_size = output_bias.shape[0]

    def build(rngs: nnx.Rngs) -> MLP:
        return MLP(
            latent_size + condition_size,
            hidden_sizes,
            data_size,
            initialization=initialization,
            normalization=normalization,
            rngs=rngs,
        )

    init_network, bind = pure(build)

    def init(key: Key[Array, ""]) -> PyTree:
        params = init_network(key)
        params["head"]["bias"] = params["head"]["bias"] + output_bias
        return params

    def inputs(z: PyTree[Array]) -> Float[Array, " D"]:
        if not condition_size:
            return nearest(z)
        latent, condition = z
        return jnp.concatenate([nearest(latent), condition])

    return Decoder(init, lambda params, z: bind(params)(inputs(z)), condition_size)


def latent_variable_model(likelihood: Likelihood, prior: Prior, decoder: Decoder) -> Model:
    """p_theta(z) of any form, p_theta(x | z) = likelihood of the decoder's output.

    Args:
        likelihood: of the data.
        prior: of z.
        decoder: whose output the likelihood takes.

    Returns:
        The model; theta is a dictionary of the prior's, the network's and the likelihood's own. Of
        a decoder with a condition c of size C it is p(z) p_theta(x | z, c), and a datapoint is the
        vector [X + C] of x with c behind it (`types.Conditional`; Sohn et al. 2015, with a prior
        that does not depend on c). A recognition network of such vectors goes with it.
    """

    def init(key: Key[Array, ""]) -> PyTree:
        own = prior.init(jax.random.fold_in(key, 1))
        # A caller may use up theta, as training does; the likelihood serves other models too.
        of_likelihood = jax.tree.map(jnp.array, likelihood.init)
        return {"prior": own, "network": decoder.init(key), "likelihood": of_likelihood}

    def distribution(theta: PyTree) -> Distribution:
        return prior.distribution(theta["prior"])

    def of_x(inputs: Callable[[PyTree[Array]], PyTree[Array]]) -> Model:
        """The model of x alone, where these are the inputs of the decoder."""

        def output(theta: PyTree, z: PyTree[Array]) -> Float[Array, " X"]:
            return decoder.output(theta["network"], inputs(z))

        def sample(theta: PyTree, key: Key[Array, ""]) -> tuple[PyTree[Array], Float[Array, " X"]]:
            key_z, key_x = jax.random.split(key)
            z = distribution(theta).sample(key_z)
            return z, likelihood.sample(theta["likelihood"], output(theta, z), key_x)

        return Model(
            init=init,
            log_prior=lambda theta, z: distribution(theta).log_prob(z),
            log_likelihood=lambda theta, x, z: likelihood.log_prob(
                theta["likelihood"], output(theta, z), x
            ),
            sample=sample,
            prior=distribution,
            mean=lambda theta, z: likelihood.mean(theta["likelihood"], output(theta, z)),
            support=likelihood.support,
            decoded=lambda theta, x: Decoded(
                output=lambda z: output(theta, z),
                log_prob=lambda o: likelihood.log_prob(theta["likelihood"], o, x),
            ),
        )

    if not decoder.condition_size:
        return of_x(lambda z: z)
    return _with_conditions(
        Conditional(decoder.condition_size, lambda c: of_x(lambda z: (z, c))),
        data_size=likelihood.output_bias.shape[0],
    )


def _with_conditions(conditional: Conditional, data_size: int) -> Model:
    """The model whose datapoints are [X + C], of the models of x given each condition."""
    size = conditional.size
    anywhere = conditional.given(jnp.zeros(size))

    def parts(x: Shaped[Array, "..."]) -> tuple[Model, Shaped[Array, " X"]]:
        check_datapoint(x, data_size + size, f"the model, with {size} numbers of a condition,")
        return conditional.given(x[data_size:]), x[:data_size]

    def log_likelihood(
        theta: PyTree, x: Shaped[Array, "..."], z: PyTree[Array]
    ) -> Float[Array, ""]:
        model, own = parts(x)
        return model.log_likelihood(theta, own, z)

    def decoded(theta: PyTree, x: Shaped[Array, "..."]) -> Decoded:
        model, own = parts(x)
        assert model.decoded is not None  # `of_x` has given it
        return model.decoded(theta, own)

    def sample(theta: PyTree, key: Key[Array, ""]) -> tuple[PyTree[Array], Float[Array, " X"]]:
        raise InputError(
            "the model has a condition, without which it cannot be drawn from: take "
            "model.conditional.given(c).sample, or model.dream with a datapoint"
        )

    return anywhere._replace(
        log_likelihood=log_likelihood,
        sample=sample,
        mean=None,
        support=anywhere.support._replace(condition=size),
        decoded=decoded,
        conditional=conditional,
    )
