"""Methods with a Boltzmann machine as prior, as posterior, or as both: 2 + 2 bits, every draw.

What holds exactly stands beside what is only near: a gradient along the draw takes bits for the
numbers of a relaxation (here the straight-through one, whose draws are bits and can be summed
over), and an undirected posterior leaves out how its chains move. Their rows say how far they are,
relative to the norm of what they claim.
"""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Key, PyTree

from experiments.enumeration.cases import run
from experiments.enumeration.machine_posteriors import (
    BITS,
    MACHINE,
    SIDE,
    SIDE_SIZE,
    STATES,
    Kind,
    every,
    generic,
)
from remjax.boltzmann import RBM, Units, log_partition
from remjax.boltzmann.likelihood import sample_of
from remjax.boltzmann.negative_phases import Negative, NegativePhase
from remjax.methods import dreg, iwae, rws_dreg, stl, vae
from remjax.methods.method import Method, make_estimator
from remjax.methods.rao_blackwell import dvae
from remjax.methods.row import Particles
from remjax.methods.score_functions import reinforce, rloo, vimco
from remjax.methods.wake_sleep import rws
from remjax.methods.warm_up import WarmUpState, warm_up
from remjax.models import bernoulli_likelihood, boltzmann_model, prior_machine, with_boltzmann_prior
from remjax.types import Batch, Memory, Params, Recognition

_X = jnp.array([1.0, 0.0, 1.0])
_SIDES = every(SIDE_SIZE)
_MODEL = boltzmann_model(
    bernoulli_likelihood(np.array([0.4, 0.6, 0.3])),
    visible_size=SIDE_SIZE,
    hidden_size=SIDE_SIZE,
    hidden_sizes=(4,),
)
# A warm-up of ten updates, before the sixth.
_UPDATES, _DONE = 10, 5


@dataclasses.dataclass(frozen=True)
class EveryState(NegativePhase):
    """Every visible state, weighted by its probability: a prior's log Z without noise."""

    def init(self, key: Key[Array, ""], machine: RBM) -> PyTree:
        """Nothing."""
        del key, machine
        return ()

    def advance(
        self, key: Key[Array, ""], machine: RBM, state: PyTree, batch: Batch
    ) -> tuple[Negative, PyTree, dict[str, Array]]:
        """The same states again."""
        del key, batch
        weights = len(_SIDES) * jax.nn.softmax(-machine.free_energy(_SIDES))
        return Negative(sample_of(machine, _SIDES, weights), log_partition(machine)), state, {}


def _log_w(params: Params, kind: Kind, power: float) -> Float[Array, " C"]:
    """log p(x | z) + power (log p(z) - log q(z)) of every state, log Z by summation."""
    machine = prior_machine(params.theta)
    units = Units(STATES[:, :SIDE_SIZE], STATES[:, SIDE_SIZE:])
    log_prior = -machine.energy(units) - log_partition(machine)
    log_likelihood = jax.vmap(lambda z: _MODEL.log_likelihood(params.theta, _X, z))(STATES)
    return log_likelihood + power * (log_prior - kind.log_q(params.eta))


# (params, posterior, K, power of p(z) / q(z)) -> nats.
Loss = Callable[[Params, Kind, int, float], Float[Array, ""]]


def bound(params: Params, kind: Kind, count: int, power: float) -> Float[Array, ""]:
    """Minus the expectation of log 1/K sum_k w_k over every tuple; for K = 1 the lower bound."""
    tuples = np.array(list(itertools.product(range(len(STATES)), repeat=count)))
    probability = jnp.exp(jnp.sum(kind.log_q(params.eta)[tuples], axis=1))
    log_w = _log_w(params, kind, power)[tuples]
    return -probability @ (jax.nn.logsumexp(log_w, axis=1) - jnp.log(count))


def lower_bound(params: Params, kind: Kind, _count: int, power: float) -> Float[Array, ""]:
    """Minus the evidence lower bound, whatever K is."""
    return bound(params, kind, 1, power)


def wake(params: Params, kind: Kind, count: int, power: float) -> Float[Array, ""]:
    """-E sum_k w_k log q(z_k): neither the particles nor their weights move."""
    tuples = np.array(list(itertools.product(range(len(STATES)), repeat=count)))
    fixed, log_q = lax.stop_gradient(params), kind.log_q(params.eta)
    probability = jnp.exp(jnp.sum(kind.log_q(fixed.eta)[tuples], axis=1))
    weights = jax.nn.softmax(_log_w(fixed, kind, power)[tuples], axis=1)
    return -probability @ jnp.sum(weights * log_q[tuples], axis=1)


class MachineCase(NamedTuple):
    """A method with a posterior, what it claims, and whether it holds exactly."""

    method: str
    value: Method
    num_particles: int
    kind: Kind
    theta: Loss
    eta: Loss
    exact: tuple[bool, bool]


_NAMES = {bound: "L_K", lower_bound: "the evidence lower bound", wake: "KL(p, q), weights over K"}


def cases() -> list[MachineCase]:
    """Methods with bits, then those with a gradient along the draw."""
    of_bits = [
        ("reinforce", reinforce, lower_bound, lower_bound),
        ("rloo", rloo, lower_bound, lower_bound),
        ("vimco", vimco(), bound, bound),
        ("rws", rws(), bound, wake),
        ("vimco warming up", warm_up(vimco(), _UPDATES), bound, bound),
    ]
    found = [
        MachineCase(name, method, 2, BITS, theta, eta, (True, True))
        for name, method, theta, eta in of_bits
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
    found += [
        MachineCase(name, method, count, BITS, theta, eta, (True, False))
        for name, method, count, theta, eta in along
    ]
    for kind in (MACHINE, SIDE):
        found += [
            MachineCase(name, method, count, kind, theta, eta, (True, False))
            for name, method, count, theta, eta in along
            if count == 1
        ]
    found.append(MachineCase("rws", rws(), 2, MACHINE, bound, wake, (True, True)))
    return found


def rows(case: MachineCase) -> list[dict[str, Any]]:
    """Of the gradient of theta and that of eta: the claim, and how far it is.

    Returns:
        `deviation`, the largest difference, and `relative`, the norm of the difference over that of
        the gradient that is claimed.
    """
    params = Params(
        jax.tree.map(
            lambda leaf: leaf + generic(leaf.shape, leaf.size), _MODEL.init(jax.random.key(0))
        ),
        case.kind.eta,
    )
    found = run(lambda params: _expected(case, params), params)
    made = []
    for part, loss, exact in zip(("theta", "eta"), (case.theta, case.eta), case.exact, strict=True):
        power = _DONE / _UPDATES if "warming up" in case.method else 1.0

        def of(params: Params, loss: Loss = loss, power: float = power) -> Float[Array, ""]:
            return loss(params, case.kind, case.num_particles, power)

        claimed = _flat(getattr(run(jax.grad(of), params), part))
        difference = _flat(getattr(found, part)) - claimed
        made.append(
            {
                "method": case.method,
                "posterior": case.kind.name,
                "num_particles": case.num_particles,
                "gradient": part,
                "claim": ("" if exact else "near ") + _NAMES[loss],
                "deviation": float(np.abs(difference).max()),
                "relative": float(np.linalg.norm(difference) / np.linalg.norm(claimed)),
            }
        )
    return made


def _expected(case: MachineCase, params: Params) -> Params:
    """The sum over all tuples of particles of their probability times the gradient."""
    memory = Memory(lambda key: (), lambda params, key, x, r, memory: memory)
    kind = case.kind
    recognition = Recognition(lambda key: kind.eta, lambda eta, x: kind.make(eta), memory)
    inner = make_estimator(_MODEL, recognition, case.value, Particles(case.num_particles))
    estimator = with_boltzmann_prior(inner, EveryState())
    state = estimator.init(jax.random.key(0))[1]
    if isinstance(state.inner, WarmUpState):
        state = state._replace(inner=state.inner._replace(updates=jnp.asarray(_DONE, jnp.int32)))
    chains, bits, one = kind.draws(params.eta)
    chosen = jnp.asarray(list(itertools.product(range(len(bits)), repeat=case.num_particles)))
    probability = jnp.prod(one[chosen], axis=1)

    def gradient(numbers: Int[Array, " K"]) -> Params:
        def loss(params: Params) -> Float[Array, ""]:
            given = (chains[numbers][None], bits[numbers][None])
            batch = Batch(_X[None], jnp.zeros(1, int), given)
            estimate, _ = estimator.estimate(params, state, jax.random.key(0), batch)
            return estimate.theta_loss + estimate.eta_loss

        return jax.grad(loss)(params)

    each = lax.map(gradient, chosen, batch_size=256)
    return jax.tree.map(lambda leaf: jnp.tensordot(probability, leaf, 1), each)


def _flat(tree: PyTree) -> Float[np.ndarray, " P"]:
    return np.concatenate(
        [np.ravel(np.asarray(leaf, np.float64)) for leaf in jax.tree.leaves(tree)]
    )
