"""Posteriors beside one another, each trained with its model on 8x8 digits, and scored exactly.

Over bits: a Boltzmann machine as prior, and posteriors from independent bits to machines. Over bits
and real numbers: a product as prior, and directed posteriors beside a harmonium. The latents are so
few that log p(x) and the lower bound are sums over all bits, on a grid for the real numbers: no
posterior flatters itself by a log Z that nobody knows, and KL(q || p(z | x)) is what it loses.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, Float, PyTree

import remjax
from experiments.enumeration.machine_posteriors import every
from remjax import boltzmann, data
from remjax.distributions import Bernoulli, DiagonalGaussian, Groups, PiecewiseLinear
from remjax.distributions.relaxed_bernoulli import bits
from remjax.methods import dvae, warm_up
from remjax.models import (
    MLP,
    HarmoniumHeads,
    Prior,
    RawHeads,
    bernoulli_likelihood,
    boltzmann_model,
    dense_decoder,
    grouped_recognition,
    latent_variable_model,
    normalize_prior,
    prior_machine,
    pure,
    undirected_recognition,
    with_boltzmann_prior,
)
from remjax.types import Estimator, Model, Params, Recognition

_RATE, _BATCH, _WIDTH, _IMAGES = 1e-2, 100, 50, 100
# Bits of each side of the prior's machine.
_SIDE = 5
# Bits and real numbers of mixed latents, and the grid of each real number.
_BITS, _REALS = 5, 2
_GRID = np.linspace(-6.0, 6.0, 41, dtype=np.float32)
_RELAXED = PiecewiseLinear()


class Latents(NamedTuple):
    """A model with the posteriors that are trained for it.

    Attributes:
        name: of the latents.
        model: p(x, z).
        complete: estimator -> the one that also learns the prior.
        normalized: theta -> theta with a prior whose density is normalised.
        posteriors: name -> the recognition network.
        points: every value of the latents, or those on the grid.
        log_volume: log of what a point of the grid stands for.
    """

    name: str
    model: Model
    complete: Callable[[Estimator], Estimator]
    normalized: Callable[[PyTree], PyTree]
    posteriors: Mapping[str, Recognition]
    points: Float[Array, "S D"]
    log_volume: float


class Score(NamedTuple):
    """Of each image, nats: log p(x), and the evidence lower bound of the posterior."""

    log_likelihood: Float[Array, " N"]
    bound: Float[Array, " N"]


def of_bits(mean: Float[np.ndarray, " X"]) -> Latents:
    """5 + 5 bits with a machine as prior."""
    sides = {"visible_size": _SIDE, "hidden_size": _SIDE}
    widths, size = {"hidden_sizes": (_WIDTH,)}, 2 * _SIDE
    options = widths | {"relaxation": _RELAXED}

    def directed(num_groups: int, **others: Any) -> Recognition:
        return grouped_recognition(
            mean, latent_size=size, num_groups=num_groups, **options, **others
        )

    return Latents(
        "bits",
        boltzmann_model(bernoulli_likelihood(mean), **sides, **widths),
        lambda estimator: with_boltzmann_prior(estimator, boltzmann.pcd(100, 5)),
        lambda theta: normalize_prior(theta, boltzmann.exact(prior_machine(theta))),
        {
            "independent bits": directed(1),
            "2 groups of bits": directed(2),
            "2 groups, each a machine of 2 + 3": directed(2, heads=RawHeads),
            "machine of 5 + 5, summed over": directed(1, heads=RawHeads),
            "machine of 5 + 5, chains": undirected_recognition(mean, **sides, **options),
            "one side of a machine of 10 + 5, chains": undirected_recognition(
                mean,
                visible_size=size,
                hidden_size=_SIDE,
                posterior=boltzmann.MarginalPosterior,
                **options,
            ),
        },
        every(size),
        0.0,
    )


def of_bits_and_numbers(mean: Float[np.ndarray, " X"]) -> Latents:
    """5 bits and 2 real numbers with a product as prior."""
    likelihood, widths = bernoulli_likelihood(mean), {"hidden_sizes": (_WIDTH,)}
    normal = Partial(lambda _: DiagonalGaussian(jnp.zeros(_REALS), jnp.ones(_REALS)))

    def prior(logits: Float[Array, " V"]) -> Groups:
        return Groups(Bernoulli(logits), (normal,), sizes=(_BITS, _REALS))

    decoder = dense_decoder(likelihood.output_bias, latent_size=_BITS + _REALS, **widths)
    axes = [every(_BITS), *([_GRID[:, None]] * _REALS)]
    numbers = np.meshgrid(*(np.arange(len(axis)) for axis in axes), indexing="ij")
    parts = [axis[number.ravel()] for axis, number in zip(axes, numbers, strict=True)]
    return Latents(
        "bits and real numbers",
        latent_variable_model(likelihood, Prior(lambda _: jnp.zeros(_BITS), prior), decoder),
        lambda estimator: estimator,
        lambda theta: theta,
        {
            "independent": _mixed(mean, coupled=False),
            "bits, then numbers given them": _mixed(mean, coupled=True),
            "harmonium, chains": undirected_recognition(
                mean,
                visible_size=_BITS,
                hidden_size=_REALS,
                relaxation=_RELAXED,
                heads=HarmoniumHeads,
                posterior=boltzmann.HarmoniumPosterior,
                **widths,
            ),
        },
        jnp.concatenate(parts, axis=1),
        _REALS * float(np.log(_GRID[1] - _GRID[0])),
    )


def _mixed(mean: Float[np.ndarray, " X"], *, coupled: bool) -> Recognition:
    """Relaxed bits, and Gaussians whose means are linear in them where they are coupled."""
    sizes = _BITS, _REALS, _REALS, _BITS * _REALS
    init, bind = pure(lambda rngs: MLP(len(mean), (_WIDTH,), sum(sizes), rngs=rngs))

    def given(parameters: tuple[Array, ...], before: tuple[Array, ...]) -> DiagonalGaussian:
        loc, log_scale, couplings = parameters
        moved = before[0] @ couplings.reshape(_BITS, _REALS)
        return DiagonalGaussian(loc + coupled * moved, jnp.exp(jnp.clip(log_scale, -7.0, 7.0)))

    def distribution(eta: PyTree, x: Float[Array, " X"]) -> Groups:
        logits, *parameters = jnp.split(bind(eta)(x - mean), np.cumsum(sizes)[:-1])
        others = (Partial(given, tuple(parameters)),)
        return Groups(bits(logits, _RELAXED), others, sizes=(_BITS, _REALS))

    return Recognition(init, distribution)


def score(
    latents: Latents, recognition: Recognition, params: Params, x: Float[Array, "N X"]
) -> Score:
    """log p(x) and the bound of every image, by all points.

    log q is normalised over the points, so that it may lack a constant; relaxed bits are bits.
    """

    def of_image(x: Float[Array, " X"]) -> Score:
        joint = latents.model.joint(latents.normalized(params.theta), x)
        q = recognition.r(params.eta, x).hard()
        log_joint, log_q = jax.vmap(lambda z: (joint(z), q.log_prob(z)))(latents.points)
        log_q = jax.nn.log_softmax(log_q)
        bound = jnp.exp(log_q) @ (log_joint - log_q)
        return Score(jax.nn.logsumexp(log_joint) + latents.log_volume, bound + latents.log_volume)

    return lax.map(of_image, x)


def digits() -> tuple[Float[Array, "N X"], Float[Array, "T X"], Float[np.ndarray, " X"]]:
    """Training and test images as bits, and the mean training image."""
    found, rng = data.load("digits"), np.random.default_rng(0)
    train, test = ((rng.random(x.shape) < x).astype(np.float32) for x in (found.train, found.test))
    return jnp.asarray(train), jnp.asarray(test[:_IMAGES]), train.mean(axis=0)


def rows(updates: int, seeds: int) -> Iterator[dict[str, Any]]:
    """A row of each posterior: means over the images and the seeds, nats.

    Args:
        updates: of each training, of 100 images and one particle each, by `methods.dvae` with a
            warm-up over the first quarter of them.
        seeds: of each posterior.
    """
    train, test, mean = digits()
    for latents in (of_bits(mean), of_bits_and_numbers(mean)):
        for name, recognition in latents.posteriors.items():
            method = warm_up(dvae, max(updates // 4, 1))
            plain = remjax.make_estimator(latents.model, recognition, method, remjax.Particles(1))
            estimator = latents.complete(plain)
            optimizer = remjax.adam(_RATE)
            epochs = remjax.make_epoch(estimator, optimizer, num_data=len(train), batch_size=_BATCH)
            scored = jax.jit(lambda params, of=(latents, recognition): score(*of, params, test))
            found = []
            for seed in range(seeds):
                state = remjax.init_train_state(estimator, optimizer, jax.random.key(seed), train)
                state = epochs(state, train, updates)
                found.append(jax.tree.map(np.mean, scored(state.params)))
            likelihood, bound = (np.array(values) for values in zip(*found, strict=True))
            error = likelihood.std(ddof=1) / np.sqrt(seeds) if seeds > 1 else np.nan
            yield {
                "latents": latents.name,
                "posterior": name,
                "log p(x)": float(likelihood.mean()),
                "+-": float(error),
                "bound": float(bound.mean()),
                "KL(q, p)": float((likelihood - bound).mean()),
            }
