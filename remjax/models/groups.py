"""Directed posteriors over bits in groups, each drawn given those before it (Vahdat et al. 2019).

What a group depends on besides: a context of the datapoint that all groups share (Figure 2 c of the
paper), or the datapoint itself, each group having a network of its own (Figure 2 b). The bits of a
group are independent given all that, or a restricted Boltzmann machine (Section 5).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key, PyTree, Shaped

from remjax.boltzmann.enumerated import MOST_ENUMERATED, EnumeratedMachine
from remjax.distributions.base import Distribution
from remjax.distributions.layers import Groups
from remjax.distributions.relaxations import Relaxation
from remjax.distributions.relaxed_bernoulli import bits
from remjax.distributions.smoothed_bernoulli import SmoothedBernoulli
from remjax.distributions.smoothings import as_smoothing
from remjax.errors import InputError
from remjax.models.initializations import Initialization, glorot
from remjax.models.inputs import PerColumn, centred
from remjax.models.networks import MLP, Normalization, TanhLayers, pure
from remjax.models.undirected import Heads, MachineEncoder
from remjax.types import Recognition


def grouped_recognition(
    data_mean: PerColumn,
    *,
    latent_size: int,
    num_groups: int = 1,
    hidden_sizes: Sequence[int] = (200, 200),
    relaxation: Relaxation | None = None,
    smoothing: Relaxation | None = None,
    shared_context: bool = True,
    num_smoothed: int = 1,
    heads: Heads | None = None,
    data_scale: PerColumn | None = None,
    initialization: Initialization = glorot,
    normalization: Normalization | None = None,
) -> Recognition:
    """q(z | x) = prod_l q_l(z_l | c(x), z_1, ..., z_{l-1}): one vector of bits.

    The context c(x) is the last tanh layer of ONE network, and each group's log odds are linear in
    the context and the groups before. Without it each group has all tanh layers for itself, of x
    and the groups before. With one group both are the same, independent bits given x (Vahdat et al.
    2019, Section 4.1 and Appendix B).

    With heads q_l is a restricted Boltzmann machine in place of independent bits: its couplings
    and biases are what the log odds were, functions of the context and the groups before, and the
    first half of the group is one side of it (their Section 5). It is normalised by a sum over the
    states of that half, `boltzmann.EnumeratedMachine`, so that every method for bits serves.

    Args:
        data_mean: [X], subtracted from the input.
        latent_size: D, bits of all groups together.
        num_groups: L, a divisor of D.
        hidden_sizes: widths of the tanh layers, from x to z.
        relaxation: of the bits, such as `distributions.PiecewiseLinear()`, so that methods with a
            gradient through z serve; groups then depend on relaxed ones. None for bits.
        smoothing: a relaxation that mixes a density for each bit, such as
            `distributions.PowerFunction()`, in the place of `relaxation`: q is then the density of
            the numbers (`distributions.SmoothedBernoulli`), for a prior that is one too, and for
            methods for real latents.
        shared_context: whether the groups share the tanh layers.
        num_smoothed: the last groups that `methods.dvae` takes at their means in log p(z), from 1
            to L, which has nothing to do with `smoothing`. More than 1 only where the prior couples
            no two of them: L / 2 for a prior with sides of equal size (Vahdat et al. 2019 in their
            code).
        heads: how features become the machine of a group: `RawHeads`, or a module of your own; None
            for independent bits. A group is then of 2 to 25 bits, and at its mean where it is
            smoothed is the side that is drawn last.
        data_scale: as in `gaussian_recognition`.
        initialization: of the linear layers.
        normalization: of the tanh layers, such as `batch_normalization()`; None for none.

    Returns:
        The recognition network; its distributions are `distributions.Groups` of bits, relaxed,
        smoothed or neither, and its latents vectors [D].

    Raises:
        InputError: for groups that do not divide the latents, or are no size for a machine; for
            sizes below one; for a smoothing that is no mixture of two densities, or has a
            relaxation or heads beside it; as `gaussian_recognition`.
    """
    _check(latent_size, num_groups, hidden_sizes)
    if smoothing is not None and (relaxation is not None or heads is not None):
        other = "relaxation" if heads is None else "heads"
        raise InputError(
            f"the bits have a smoothing and {other}: only independent bits are smoothed, and what "
            "is smoothed is not relaxed besides, so leave out one of the two"
        )
    if heads is not None:
        _check_machines(latent_size, num_groups)
    if not 1 <= num_smoothed <= num_groups:
        raise InputError(f"num_smoothed is {num_smoothed}: give 1 to num_groups={num_groups}")
    centre, data_size = centred(data_mean, data_scale)
    shared, own = (hidden_sizes, ()) if shared_context else ((), hidden_sizes)
    size, context_size = latent_size // num_groups, (data_size, *shared)[-1]
    layers = {"initialization": initialization, "normalization": normalization}
    init_context, bind_context = pure(
        lambda rngs: TanhLayers(data_size, shared, rngs=rngs, **layers)
    )
    kind: Callable[[Array], Distribution] = partial(bits, relaxation=relaxation)
    if smoothing is not None:
        kind = partial(SmoothedBernoulli, smoothing=as_smoothing(smoothing))
    groups = [
        _group(context_size + place * size, own, size, kind, layers)
        if heads is None
        else _machine(context_size + place * size, own, size, relaxation, heads, layers)
        for place in range(num_groups)
    ]

    def init(key: Key[Array, ""]) -> PyTree:
        names = jax.random.split(key, num_groups + 1)
        of_groups = [init(name) for (init, _), name in zip(groups, names[1:], strict=True)]
        return {"context": init_context(names[0]), "groups": of_groups}

    def distribution(eta: PyTree, x: Shaped[Array, "..."]) -> Groups:
        context = bind_context(eta["context"])(centre(x))
        first, *others = (
            Partial(function, params, context)
            for (_, function), params in zip(groups, eta["groups"], strict=True)
        )
        sizes = (size,) * num_groups
        return Groups(first(()), tuple(others), sizes=sizes, num_smoothed=num_smoothed)

    return Recognition(init=init, distribution=distribution)


# (init, distribution): key -> parameters; (parameters, context, groups before) -> the group.
_Group = tuple[Callable[[Key[Array, ""]], PyTree], Callable[..., Distribution]]


def _group(
    given_size: int,
    hidden_sizes: Sequence[int],
    size: int,
    kind: Callable[[Float[Array, " L"]], Distribution],
    layers: dict[str, Any],
) -> _Group:
    """Independent bits of the kind that is made of their log odds."""
    init, log_odds = pure(lambda rngs: MLP(given_size, hidden_sizes, size, rngs=rngs, **layers))

    def distribution(
        params: PyTree, context: Float[Array, " C"], before: tuple[Array, ...]
    ) -> Distribution:
        return kind(log_odds(params)(jnp.concatenate([context, *before])))

    return init, distribution


def _machine(
    given_size: int,
    hidden_sizes: Sequence[int],
    size: int,
    relaxation: Relaxation | None,
    heads: Heads,
    layers: dict[str, Any],
) -> _Group:
    """A machine, normalised by a sum."""
    features, sides = (given_size, *hidden_sizes)[-1], (size // 2, size - size // 2)

    def build(rngs: nnx.Rngs) -> MachineEncoder:
        own = heads(features, *sides, initialization=layers["initialization"], rngs=rngs)
        return MachineEncoder(TanhLayers(given_size, hidden_sizes, rngs=rngs, **layers), own)

    init, machine = pure(build)

    def distribution(
        params: PyTree, context: Float[Array, " C"], before: tuple[Array, ...]
    ) -> Distribution:
        return EnumeratedMachine(machine(params)(jnp.concatenate([context, *before])), relaxation)

    return init, distribution


def _check(latent_size: int, num_groups: int, hidden_sizes: Sequence[int]) -> None:
    if latent_size < 1 or num_groups < 1 or latent_size % num_groups:
        raise InputError(
            f"num_groups is {num_groups}: give a number that divides latent_size={latent_size}"
        )
    if min(hidden_sizes, default=1) < 1:
        raise InputError(f"hidden_sizes is {tuple(hidden_sizes)}: give positive widths")


def _check_machines(latent_size: int, num_groups: int) -> None:
    size, most = latent_size // num_groups, 2 * MOST_ENUMERATED + 1
    if not 2 <= size <= most:
        raise InputError(
            f"num_groups is {num_groups}, of {size} bits each, and log Z of a machine is summed "
            f"for 2 to {most}: give a number that makes such groups"
        )
