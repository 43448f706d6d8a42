"""Methods with a Boltzmann machine as prior, as posterior, or as both: 2 + 2 bits, every draw.

What holds exactly stands beside what is only near: a gradient along the draw takes bits for the
numbers of a relaxation (here the straight-through one, whose draws are bits and can be summed
over), and an undirected posterior leaves out how its chains move. Their rows say how far they are,
relative to the norm of what they claim.
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PyTree

from experiments.enumeration.cases import run
from experiments.enumeration.group_posteriors import FOUR_GROUPS, TWO_GROUPS, TWO_MACHINES
from experiments.enumeration.machine_claims import (
    EveryState,
    Loss,
    X,
    bound,
    log_matched,
    lower_bound,
    matched,
    model_of,
    tuples_of,
    wake,
)
from experiments.enumeration.machine_posteriors import (
    BITS,
    MACHINE,
    SIDE,
    SMALL_MACHINE,
    Kind,
    generic,
)
from experiments.enumeration.proposals import Assigning
from remjax.methods import dreg, iwae, rws_dreg, stl, vae
from remjax.methods.method import Method, make_estimator
from remjax.methods.proposals import Proposal, from_r, from_s
from remjax.methods.rao_blackwell import dvae
from remjax.methods.rem import rem
from remjax.methods.row import Particles
from remjax.methods.score_functions import reinforce, rloo, vimco
from remjax.methods.wake_sleep import rws
from remjax.methods.warm_up import WarmUpState, warm_up
from remjax.models import with_boltzmann_prior
from remjax.types import Batch, Memory, Params, Recognition

# Tuples of particles at a time.
_BATCH = 256
# A warm-up of ten updates, before the sixth.
_UPDATES, _DONE = 10, 5


class MachineCase(NamedTuple):
    """A method with a posterior, what it claims, and whether it holds exactly.

    Attributes:
        method: its name.
        value: the method.
        num_particles: K.
        kind: the posterior.
        theta: the loss whose gradient theta's is said to be.
        eta: that of eta.
        exact: whether they are; else they are near.
        assigning: states [K, D] -> the method itself with these as the particles of s; None where
            it has no s.
    """

    method: str
    value: Method
    num_particles: int
    kind: Kind
    theta: Loss
    eta: Loss
    exact: tuple[bool, bool]
    assigning: Callable[[Float[Array, "K D"]], Method] | None = None


_NAMES = {
    bound: "L_K",
    lower_bound: "the evidence lower bound",
    wake: "KL(p, q), weights over K",
    matched: "EM and KL(p, q), weights over K of s",
}


def cases() -> list[MachineCase]:
    """Methods with bits, those with a gradient along the draw, then those with an s."""
    of_bits = [
        ("reinforce", reinforce, lower_bound, lower_bound),
        ("rloo", rloo, lower_bound, lower_bound),
        ("vimco", vimco(), bound, bound),
        ("rws", rws(), bound, wake),
        ("vimco warming up", warm_up(vimco(), _UPDATES), bound, bound),
    ]
    along = [
        ("stl", stl, 1, lower_bound, lower_bound),
        ("vae", vae(), 1, lower_bound, lower_bound),
        ("dvae", dvae, 1, lower_bound, lower_bound),
        ("dvae warming up", warm_up(dvae, _UPDATES), 1, lower_bound, lower_bound),
        ("iwae", iwae, 2, bound, bound),
        ("dreg", dreg, 2, bound, bound),
        ("rws_dreg", rws_dreg, 2, bound, wake),
    ]
    # theta's is that of bits, which straight-through draws are: no bias at all.
    return [
        *(
            MachineCase(name, method, 2, kind, theta, eta, (True, True))
            for kind in (BITS, TWO_MACHINES)
            for name, method, theta, eta in of_bits
        ),
        *(
            MachineCase(name, method, count, kind, theta, eta, (True, False))
            for kind in (BITS, TWO_GROUPS, FOUR_GROUPS, TWO_MACHINES, MACHINE, SIDE)
            for name, method, count, theta, eta in along
            # Of a side there are too many pairs of draws.
            if count == 1 or any(kind is one for one in (BITS, TWO_MACHINES, MACHINE))
        ),
        MachineCase("rws", rws(), 2, MACHINE, bound, wake, (True, True)),
        _with_s("rem_v1", from_r, bound),
        _with_s("rem_v2", None, matched),
    ]


def _with_s(name: str, proposal: Proposal | None, theta: Loss) -> MachineCase:
    """REM whose eta learns from s, and theta too where it has no proposal of its own."""

    def assigning(states: Float[Array, "K D"]) -> Method:
        of_s = Assigning(from_s(), states)
        return rem(of_s if proposal is None else proposal, of_s)

    value = rem(from_s() if proposal is None else proposal, from_s())
    return MachineCase(name, value, 2, SMALL_MACHINE, theta, matched, (True, True), assigning)


def rows(case: MachineCase) -> list[dict[str, Any]]:
    """Of the gradient of theta and that of eta: the claim, and how far it is.

    Returns:
        `deviation`, the largest difference, and relative to the norm of the gradient that is
        claimed `relative`, the norm of the difference, and `noise`, the standard deviation of one
        gradient.
    """
    params = Params(
        jax.tree.map(
            lambda leaf: leaf + generic(leaf.shape, leaf.size),
            model_of(case.kind).init(jax.random.key(0)),
        ),
        case.kind.eta,
    )
    found, squares = run(lambda params: _expected(case, params), params)
    made = []
    for part, loss, exact in zip(("theta", "eta"), (case.theta, case.eta), case.exact, strict=True):
        power = _DONE / _UPDATES if "warming up" in case.method else 1.0

        def of(params: Params, loss: Loss = loss, power: float = power) -> Float[Array, ""]:
            return loss(params, case.kind, case.num_particles, power)

        claimed = _flat(getattr(run(jax.grad(of), params), part))
        expected = _flat(getattr(found, part))
        difference, norm = expected - claimed, np.linalg.norm(claimed)
        variance = np.sum(_flat(getattr(squares, part)) - np.square(expected))
        made.append(
            {
                "method": case.method,
                "posterior": case.kind.name,
                "num_particles": case.num_particles,
                "gradient": part,
                "claim": ("" if exact else "near ") + _NAMES[loss],
                "deviation": float(np.abs(difference).max()),
                "relative": float(np.linalg.norm(difference) / norm),
                "noise": float(np.sqrt(variance) / norm),
            }
        )
    return made


def _expected(case: MachineCase, params: Params) -> tuple[Params, Params]:
    """The sums over all tuples of particles of their probability times the gradient, and squares.

    The squares are those of each component.
    """
    kind = case.kind
    chains, bits, one = kind.draws(params.eta)
    of_q = np.array(list(itertools.product(range(len(bits)), repeat=case.num_particles)))
    probability = jnp.prod(one[of_q], axis=1)
    if case.assigning is None:
        each = lax.map(
            lambda number: _gradient(case, case.value, params, (chains[number], bits[number])),
            jnp.asarray(of_q),
            batch_size=_BATCH,
        )
        return _moments(probability, each)
    assigning, of_s = case.assigning, tuples_of(kind, case.num_particles)
    numbers = jnp.round(bits @ 2.0 ** np.arange(bits.shape[1])[::-1]).astype(int)
    log_s = jnp.sum(log_matched(params, kind, numbers[of_q])[:, of_s], axis=2)
    first, second = np.indices(log_s.shape).reshape(2, -1)
    each = lax.map(
        lambda pair: _gradient(case, assigning(pair[2]), params, pair[:2]),
        (chains[of_q][first], bits[of_q][first], kind.states[of_s][second]),
        batch_size=_BATCH,
    )
    return _moments((probability[:, None] * jnp.exp(log_s)).ravel(), each)


def _moments(probability: Float[Array, " T"], each: Params) -> tuple[Params, Params]:
    def expected(values: Params) -> Params:
        return jax.tree.map(lambda leaf: jnp.tensordot(probability, leaf, 1), values)

    return expected(each), expected(jax.tree.map(jnp.square, each))


def _gradient(
    case: MachineCase, method: Method, params: Params, given: tuple[Array, Array]
) -> Params:
    """That of both losses, on the K chains and bits that are given."""
    kind = case.kind
    memory = Memory(lambda key: (), lambda params, key, x, r, memory: memory)
    recognition = Recognition(lambda key: kind.eta, lambda eta, x: kind.make(eta), memory)
    inner = make_estimator(model_of(kind), recognition, method, Particles(case.num_particles))
    estimator = with_boltzmann_prior(inner, EveryState())
    state = estimator.init(jax.random.key(0))[1]
    if isinstance(state.inner, WarmUpState):
        state = state._replace(inner=state.inner._replace(updates=jnp.asarray(_DONE, jnp.int32)))

    def loss(params: Params) -> Float[Array, ""]:
        batch = Batch(X[None], jnp.zeros(1, int), jax.tree.map(lambda leaf: leaf[None], given))
        estimate, _ = estimator.estimate(params, state, jax.random.key(0), batch)
        return estimate.theta_loss + estimate.eta_loss

    return jax.grad(loss)(params)


def _flat(tree: PyTree) -> Float[np.ndarray, " P"]:
    return np.concatenate(
        [np.ravel(np.asarray(leaf, np.float64)) for leaf in jax.tree.leaves(tree)]
    )
