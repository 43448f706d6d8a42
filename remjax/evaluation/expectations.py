"""What follows from a datapoint by the model: expectations over p(z | x), and what is missing of x.

The particles of r(z | x) are weighted by w = p(x, z) / r(z | x) and the weights normalised, so an
expectation is that of the model's own posterior as K grows, whatever r is.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Key, PyTree

from remjax.errors import InputError
from remjax.evaluation.blocks import CHUNK_SIZE, Images, over_datapoints
from remjax.particles.chunks import balanced_chunks, check_counts
from remjax.particles.e_step import draw_chunk
from remjax.particles.weights import finite_maximum
from remjax.types import Datapoint, Latent, Model, Params, Recognition


class Expectation(NamedTuple):
    """E[f(z) | x] of every datapoint.

    Attributes:
        value: of f's structure, each leaf [N, ...].
        ess: effective sample size, 1..K; near one, a single particle decides.
    """

    value: PyTree[np.ndarray]
    ess: Float[np.ndarray, " N"]


def make_expectation(
    model: Model,
    recognition: Recognition,
    of: Callable[[Params, Latent], PyTree[Array]],
    *,
    num_particles: int = 1000,
    mesh: Mesh | None = None,
) -> Callable[..., Expectation]:
    """E[f(z) | x] by self-normalised importance sampling, compiled, for many data sets.

    sum_k w_k f(z_k) / sum_k w_k with z_k ~ r(z | x), streamed over the particles: memory grows
    neither with K nor, but for the result, with the number of datapoints. The bias is of order 1/K.

    Args:
        model: p_theta(x, z).
        recognition: r_eta(z | x).
        of: (params, z) -> f(z), a pytree of floats.
        num_particles: K.
        mesh: the devices among which the datapoints are divided (`sharding.make_mesh`).

    Returns:
        expectation(params, key, x [N, X], progress=None) -> Expectation; nothing carries a
        gradient, and a datapoint none of whose particles is possible has zeros with ess 0.

    Raises:
        InputError: for num_particles below one, and from `expectation` for data without rows or
            with values that the model has no density for.
    """
    return _make_expectation(
        model, recognition, lambda params, _, z: of(params, z), num_particles, mesh
    )


def _make_expectation(
    model: Model,
    recognition: Recognition,
    of: Callable[[Params, Datapoint, Latent], PyTree[Array]],
    num_particles: int,
    mesh: Mesh | None,
) -> Callable[..., Expectation]:
    """`make_expectation` of a function of the datapoint too."""
    check_counts(num_particles, None, None)

    def one(
        params: Params, key: Key[Array, ""], x: Datapoint
    ) -> tuple[PyTree[Array], Float[Array, ""]]:
        joint = model.joint(params.theta, x).hard()
        r = recognition.r(params.eta, x).hard()
        form = jax.eval_shape(lambda: of(params, x, r.sample(key)))
        _, unravel = ravel_pytree(jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, float), form))
        num_chunks, size = balanced_chunks(num_particles, CHUNK_SIZE)

        def absorb(sums: _Sums, chunk: Int[Array, ""]) -> tuple[_Sums, None]:
            index = chunk * size + jnp.arange(size)
            z, _, log_w = draw_chunk(key, joint, r, index, num_particles)
            flat = jax.vmap(lambda one: ravel_pytree(of(params, x, one))[0])(z)
            return _with(sums, log_w, flat), None

        width = sum(leaf.size for leaf in jax.tree.leaves(form))
        zero = jnp.zeros(())
        start = _Sums(jnp.full((), -jnp.inf), zero, zero, jnp.zeros(width))
        sums, _ = lax.scan(absorb, start, jnp.arange(num_chunks))
        possible = sums.total > 0.0
        mean = sums.weighted / jnp.where(possible, sums.total, 1.0)
        ess = jnp.square(sums.total) / jnp.where(possible, sums.square, 1.0)
        return unravel(mean), ess

    measured = over_datapoints(one, model.support, mesh)

    def expectation(
        params: Params,
        key: Key[Array, ""],
        x: Images,
        progress: Callable[[int], None] | None = None,
    ) -> Expectation:
        return Expectation(*measured(params, key, x, progress))

    return expectation


class _Sums(NamedTuple):
    """Sums over the particles so far, relative to the largest weight.

    Attributes:
        largest: the largest log-weight, nats; -inf for none.
        total: sum_k w_k.
        square: sum_k w_k^2.
        weighted: sum_k w_k f(z_k).
    """

    largest: Float[Array, ""]
    total: Float[Array, ""]
    square: Float[Array, ""]
    weighted: Float[Array, " F"]


def _with(sums: _Sums, log_w: Float[Array, " C"], f: Float[Array, "C F"]) -> _Sums:
    """The sums with another chunk of particles."""
    largest = jnp.maximum(sums.largest, jnp.max(log_w))
    reference = jnp.squeeze(finite_maximum(largest[None]), -1)
    before, w = jnp.exp(sums.largest - reference), jnp.exp(log_w - reference)
    # A particle that is impossible may have an f that is no number.
    f = jnp.where(w[:, None] > 0.0, f, 0.0)
    return _Sums(
        largest=largest,
        total=before * sums.total + jnp.sum(w),
        square=jnp.square(before) * sums.square + jnp.sum(jnp.square(w)),
        weighted=before * sums.weighted + w @ f,
    )


def make_imputation(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int = 1000,
    mesh: Mesh | None = None,
) -> Callable[..., np.ndarray]:
    """Missing entries (NaN) as their expectation given the observed ones of the row.

    E[x_missing | x_observed] = E[ E[x_missing | z] | x_observed] (Mattei & Frellsen 2019, Eq. 12),
    by `make_expectation`. Among all imputations it has the least squared error; it is smoother than
    data are. Of columns that are one-hot it gives probabilities.

    Args:
        model: with a mean E[x | z], of a `models.marginalized` likelihood.
        recognition: r_eta(z | x).
        num_particles: K.
        mesh: as in `make_expectation`.

    Returns:
        impute(params, key, x [N, X], progress=None) -> [N, X] of the type of x; the observed
        entries, and a condition, are as they were, bit for bit.

    Raises:
        InputError: for a model without a mean; from `impute`, as `make_expectation`.
    """

    def mean(params: Params, x: Datapoint, z: Latent) -> Array:
        given = model.at(x)
        assert given.mean is not None  # as was found below
        found = given.mean(params.theta, z)
        # Nothing is missing of a condition, which stands behind x.
        return jnp.concatenate([found, x[found.size :]]) if model.conditional else found

    if model.at(jnp.zeros(model.support.condition)).mean is None:
        raise InputError("the model has no mean E[x | z], which imputation needs: give it one")
    expectation = _make_expectation(model, recognition, mean, num_particles, mesh)

    def impute(
        params: Params,
        key: Key[Array, ""],
        x: Images,
        progress: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        rows = np.asarray(x)
        filled = expectation(params, key, rows, progress).value
        return np.where(np.isnan(rows), filled, rows).astype(rows.dtype, copy=False)

    return impute
