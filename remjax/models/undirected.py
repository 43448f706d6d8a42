"""Recognition networks whose posterior is a Boltzmann machine: x -> the parameters of an RBM.

    recognition = undirected_recognition(mean, visible_size=100, hidden_size=100, num_chains=1,
                                         relaxation=PiecewiseLinear())

Each datapoint has chains of its own, remembered from one visit to the next (Vahdat et al. 2019,
Section 3.2 and Algorithm 1).
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Key, PyTree, Shaped

from remjax.boltzmann.families import Reals
from remjax.boltzmann.posterior import UndirectedPosterior
from remjax.boltzmann.rbm import RBM
from remjax.boltzmann.spins import Spins, from_spins
from remjax.distributions.base import Distribution
from remjax.distributions.relaxations import Relaxation
from remjax.errors import InputError
from remjax.models.initializations import Initialization, glorot
from remjax.models.inputs import PerColumn, centred
from remjax.models.networks import Normalization, TanhLayers, batch_normalization, pure
from remjax.types import Memory, Params, Recognition

# Of the couplings between units of -1 and 1, times the root of the first block's size.
_ISING_SCALE = 1.5


@runtime_checkable
class Heads(Protocol):
    """How features become the parameters of an RBM: makes a module of type features [F] -> RBM."""

    def __call__(
        self,
        in_features: int,
        visible_size: int,
        hidden_size: int,
        *,
        initialization: Initialization,
        rngs: nnx.Rngs,
    ) -> "RawHeads":
        """Make the module."""
        ...


class RawHeads(nnx.Module):
    """Linear heads: the couplings and biases themselves."""

    def __init__(
        self,
        in_features: int,
        visible_size: int,
        hidden_size: int,
        *,
        initialization: Initialization = glorot,
        rngs: nnx.Rngs,
    ) -> None:
        self.shape = visible_size, hidden_size
        self.weights = initialization(in_features, visible_size * hidden_size, rngs=rngs)
        self.visible_bias = initialization(in_features, visible_size, rngs=rngs)
        self.hidden_bias = initialization(in_features, hidden_size, rngs=rngs)

    def __call__(self, features: Float[Array, " F"]) -> RBM:
        """The machine of ONE datapoint."""
        weights = self.weights(features).reshape(self.shape)
        return RBM(weights, self.visible_bias(features), self.hidden_bias(features))


class IsingHeads(RawHeads):
    """Heads of an Ising model with batch-normalised couplings, rewritten for units of 0 and 1.

    J = 1.5 / sqrt(V) times the normalised head, W = 4 J, a = 2 (a_head - sum_j J_ij) and
    b = 2 (b_head - sum_i J_ij), as the code of Vahdat et al. 2019 has it: couplings stay of one
    size, and biases mean the same whatever they are, so that chains mix.
    """

    def __init__(
        self,
        in_features: int,
        visible_size: int,
        hidden_size: int,
        *,
        initialization: Initialization = glorot,
        rngs: nnx.Rngs,
    ) -> None:
        super().__init__(
            in_features, visible_size, hidden_size, initialization=initialization, rngs=rngs
        )
        self.normalize = batch_normalization()(visible_size * hidden_size, rngs=rngs)

    def __call__(self, features: Float[Array, " F"]) -> RBM:
        """The machine of ONE datapoint."""
        scale = _ISING_SCALE / math.sqrt(self.shape[0])
        coupling = scale * self.normalize(self.weights(features)).reshape(self.shape)
        fields = self.visible_bias(features), self.hidden_bias(features)
        return from_spins(Spins(coupling, *fields))[0]


class HarmoniumHeads(RawHeads):
    """Heads of a harmonium of bits and real numbers, for `boltzmann.HarmoniumPosterior`.

    The real numbers have a precision each, the exponential of a head within +-14.
    """

    def __init__(
        self,
        in_features: int,
        visible_size: int,
        hidden_size: int,
        *,
        initialization: Initialization = glorot,
        rngs: nnx.Rngs,
    ) -> None:
        super().__init__(
            in_features, visible_size, hidden_size, initialization=initialization, rngs=rngs
        )
        self.log_precision = initialization(in_features, hidden_size, rngs=rngs)

    def __call__(self, features: Float[Array, " F"]) -> RBM:
        """The machine of ONE datapoint."""
        log_precision = jnp.clip(self.log_precision(features), -14.0, 14.0)
        machine = super().__call__(features)
        return dataclasses.replace(machine, hidden=Reals(log_precision))


class MachineEncoder(nnx.Module):
    """Tanh layers and heads."""

    def __init__(self, layers: TanhLayers, heads: RawHeads) -> None:
        self.layers, self.heads = layers, heads

    def __call__(self, x: Float[Array, " X"]) -> RBM:
        """The machine of ONE datapoint."""
        return self.heads(self.layers(x))


def undirected_recognition(
    data_mean: PerColumn,
    *,
    visible_size: int,
    hidden_size: int,
    hidden_sizes: Sequence[int] = (200, 200),
    relaxation: Relaxation | None = None,
    num_chains: int = 1,
    num_sweeps: int = 10,
    num_relaxed_sweeps: int = 1,
    num_fresh_sweeps: int = 100,
    heads: Heads = IsingHeads,
    posterior: type[UndirectedPosterior] = UndirectedPosterior,
    data_scale: PerColumn | None = None,
    initialization: Initialization = glorot,
    normalization: Normalization | None = None,
) -> Recognition:
    """q(z | x) = exp(-E_x(z)) / Z_x, an RBM whose parameters are a network's of x.

    The latent is one vector of bits [V + H], or of relaxed ones. Methods that differentiate through
    z (`stl`, `dreg`, `vae`) need a relaxation; `rws` and REM take bits. log Z_x is never needed.

    Args:
        data_mean: [X], subtracted from the input.
        visible_size: V, bits of the block that chains remember.
        hidden_size: H, bits of the other.
        hidden_sizes: widths of the tanh layers.
        relaxation: of the bits, such as `distributions.PiecewiseLinear()`; None for bits.
        num_chains: C of each datapoint, best as many as particles.
        num_sweeps: s, hard Gibbs sweeps of the chains at each visit.
        num_relaxed_sweeps: t, sweeps that make a particle of a chain, with the gradient.
        num_fresh_sweeps: of the chains of a datapoint that is not trained on.
        heads: `IsingHeads` or `RawHeads`, or a module of your own: how the last layer becomes the
            parameters of an RBM; `HarmoniumHeads` for a harmonium.
        posterior: `boltzmann.UndirectedPosterior`, whose latents are both sides,
            `MarginalPosterior`, whose latents are the V bits and the H auxiliary variables, or
            `HarmoniumPosterior`, whose latents are V bits and H real numbers.
        data_scale: as in `gaussian_recognition`.
        initialization: of the linear layers.
        normalization: of the tanh layers, such as `batch_normalization()`; None for none.

    Returns:
        The recognition network, whose distributions are `boltzmann.UndirectedPosterior` and whose
        memory are the chains, V bits each.

    Raises:
        InputError: for a count below one; as `gaussian_recognition`.
    """
    counts = {
        "visible_size": visible_size,
        "hidden_size": hidden_size,
        "num_chains": num_chains,
        "num_sweeps": num_sweeps,
        "num_relaxed_sweeps": num_relaxed_sweeps,
        "num_fresh_sweeps": num_fresh_sweeps,
        "the smallest of hidden_sizes": min(hidden_sizes, default=1),
    }
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"{name} is {count}: give 1 or more")
    centre, data_size = centred(data_mean, data_scale)

    def build(rngs: nnx.Rngs) -> MachineEncoder:
        layers = TanhLayers(
            data_size,
            hidden_sizes,
            initialization=initialization,
            normalization=normalization,
            rngs=rngs,
        )
        features = (data_size, *hidden_sizes)[-1]
        sizes = features, visible_size, hidden_size
        return MachineEncoder(layers, heads(*sizes, initialization=initialization, rngs=rngs))

    init, bind = pure(build)

    def distribution(eta: PyTree, x: Shaped[Array, "..."]) -> UndirectedPosterior:
        machine = bind(eta)(centre(x))
        return posterior(machine, relaxation, num_relaxed_sweeps, num_fresh_sweeps)

    def begin(key: Key[Array, ""]) -> Bool[Array, "C V"]:
        return jax.random.bernoulli(key, 0.5, (num_chains, visible_size))

    def advance(
        _params: Params,
        key: Key[Array, ""],
        _x: Shaped[Array, "..."],
        r: Distribution,
        chains: Bool[Array, "C V"],
    ) -> Bool[Array, "C V"]:
        assert isinstance(r, UndirectedPosterior)
        return r.advance(key, chains, num_sweeps)

    return Recognition(init, distribution, Memory(begin, advance))
