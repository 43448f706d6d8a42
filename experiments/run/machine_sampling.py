"""A machine under the evaluator of models that only chains draw from: p(x | h) of its Gibbs chains.

The likelihood within a bracket says more; this one compares a machine with models that have none.
"""

import functools

import jax
import jax.numpy as jnp

from experiments.run.sampled import Sampler
from remjax.boltzmann import RBM, Units, gibbs_steps, init
from remjax.evaluation import make_conservative_log_likelihood

_csl = make_conservative_log_likelihood(lambda machine, v, h: machine.visible_log_prob(v, h))
_sweeps = jax.jit(gibbs_steps)
_means = jax.jit(lambda machine, h: machine.visible_mean(h))


def sampler_of(machine: RBM, every: int) -> Sampler:
    """The chains of a machine.

    Args:
        machine: whose chains they are.
        every: sweeps from one draw to the next.
    """

    def advance(key: jax.Array, chains: Units) -> Units:
        # The number of sweeps is traced: another one compiles nothing anew.
        return _sweeps(key, machine, chains, jnp.asarray(every))[0]

    return Sampler(
        start=lambda key, count: init(key, machine, count),
        advance=advance,
        sources=lambda chains: chains.hidden,
        mean=functools.partial(_means, machine),
        score=functools.partial(_csl, machine),
    )
