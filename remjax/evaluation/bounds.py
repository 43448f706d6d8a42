"""Bounds on log-likelihoods by annealed importance sampling, and how tight they are.

Importance sampling needs a recognition network that covers the posterior; annealing makes up for
one that does not. Everything is streamed over images; an image's chains follow from (key, its
place).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from remjax.data.checks import check_rows
from remjax.errors import InputError
from remjax.evaluation.annealing import Annealing, make_forward_chains, make_reverse_chains
from remjax.evaluation.blocks import Images
from remjax.evaluation.importance_sampling import standard_error
from remjax.types import Model, Params, Recognition

# Chains in one compiled call, which ends before the progress is reported.
_CHAINS_IN_FLIGHT = 512


_DEFAULT = Annealing()


class Annealed(NamedTuple):
    """Per-image results of an annealing.

    Attributes:
        log_likelihood: an estimate of log p(x), nats; in expectation a bound, below from forward
            chains, above from reverse ones.
        ess: effective sample size of the chains' weights, 1..number of chains.
        acceptance_rate: of the HMC transitions, averaged.
    """

    log_likelihood: Float[np.ndarray, " N"]
    ess: Float[np.ndarray, " N"]
    acceptance_rate: Float[np.ndarray, " N"]

    @property
    def mean(self) -> float:
        """Mean log-likelihood in nats per image."""
        return float(np.mean(self.log_likelihood, dtype=np.float64))

    @property
    def stderr(self) -> float:
        """Standard error of the mean over images, nats; nan for a single one."""
        return standard_error(self.log_likelihood)


class Sandwich(NamedTuple):
    """Bounds on log p(x) of images that the model made itself.

    Attributes:
        lower: from chains that go forward to the posterior.
        upper: from chains that go back from an exact draw of it.
    """

    lower: Annealed
    upper: Annealed


def make_annealed_log_likelihood(
    model: Model, recognition: Recognition | None = None, annealing: Annealing = _DEFAULT
) -> Callable[..., Annealed]:
    """A compiled stochastic lower bound on log p(x) of each image (Neal 2001; Wu et al. 2017).

    log 1/C sum_c w_c over C chains, log w = sum_t (b_t - b_{t-1}) (log p(x, z_t) - log q(z_t)). The
    step size at each temperature is chosen on each image by the acceptance of four pilot chains
    that do not count, so that the others' transitions do not depend on themselves and E[w] = p(x)
    stays exact. Memory grows with the number of chains and not with that of images.

    Args:
        model: p_theta(x, z) with continuous latents, a vector or a pytree.
        recognition: r_eta(z | x), where the path begins; without it, at the prior.
        annealing: the number and length of the chains.

    Returns:
        evaluate(params, key, x [N, X], progress=None) -> Annealed; progress(n) is called with the
        number of images done since the last call.

    Raises:
        InputError: for counts below one; from `evaluate` for a model without a prior to begin at,
            discrete latents, or data without rows or with values that the model has no density for.
    """
    annealing.check()
    forward = make_forward_chains(model, recognition, annealing)

    def evaluate(
        params: Params,
        key: Key[Array, ""],
        x: Images,
        progress: Callable[[int], None] | None = None,
    ) -> Annealed:
        check_rows(np.asarray(x), model.support)

        def block(*arguments: Any) -> tuple[Array, ...]:
            return forward(*arguments)[:3]

        columns = _over_images(block, annealing, params, key, (jnp.asarray(x),), progress)
        return Annealed(*columns)

    return evaluate


def make_sandwich(
    model: Model, recognition: Recognition | None = None, annealing: Annealing = _DEFAULT
) -> Callable[..., Sandwich]:
    """A compiled bidirectional sandwich of log p(x) on simulated data (Grosse et al. 2015).

    Of a pair (z, x) that the model drew, z is an exact draw of the posterior. Chains that go back
    from it, with the step sizes of the way there, have E[1 / w] = 1 / p(x), so that
    -log 1/C sum_c 1 / w_c is an upper bound in expectation. The gap between the bounds is at least
    the error of the lower one.

    Arguments as in `make_annealed_log_likelihood`.

    Returns:
        evaluate(params, key, num_data, progress=None) -> Sandwich; progress as there, twice.
    """
    annealing.check()
    forward = make_forward_chains(model, recognition, annealing)
    reverse = make_reverse_chains(model, recognition, annealing)
    draw = jax.jit(jax.vmap(model.sample, (None, 0)))

    def evaluate(
        params: Params,
        key: Key[Array, ""],
        num_data: int,
        progress: Callable[[int], None] | None = None,
    ) -> Sandwich:
        key_data, key_up, key_down = jax.random.split(key, 3)
        z, x = draw(params.theta, jax.random.split(key_data, num_data))
        *lower, sizes = _over_images(forward, annealing, params, key_up, (x,), progress)
        upper = _over_images(reverse, annealing, params, key_down, (x, z, sizes), progress)
        return Sandwich(Annealed(*lower), Annealed(*upper))

    return evaluate


def _over_images(
    block: Callable[..., tuple[Array, ...]],
    annealing: Annealing,
    params: Params,
    key: Key[Array, ""],
    rows: tuple[PyTree, ...],
    progress: Callable[[int], None] | None,
) -> list[np.ndarray]:
    """block(params, keys, *rows) of all images; one that is not full repeats its last image."""
    count = rows[0].shape[0]
    if count == 0:
        raise InputError("there is nothing to evaluate: give at least one image")
    size = min(count, max(1, _CHAINS_IN_FLIGHT // annealing.num_chains))
    results = []
    for first in range(0, count, size):
        place = np.minimum(np.arange(first, first + size), count - 1)
        keys = jax.vmap(lambda n: jax.random.fold_in(key, n))(place)
        values = block(params, keys, *jax.tree.map(lambda leaf, at=place: leaf[at], rows))
        done = min(size, count - first)
        results.append([np.asarray(value)[:done] for value in values])
        if progress is not None:
            progress(done)
    return [np.concatenate(column) for column in zip(*results, strict=True)]
