"""Batch normalisation in networks as pure functions: NumPy oracle, gradients, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from remjax import statistics
from remjax.data import load
from remjax.errors import InputError
from remjax.models.networks import pure

X = jnp.asarray(load("digits").train[:20])


class Encoder(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(64, 5, rngs=rngs)
        self.norm = nnx.BatchNorm(5, rngs=rngs)
        self.last = nnx.Linear(5, 2, rngs=rngs)

    def __call__(self, x):
        return self.last(self.norm(self.first(x)))


INIT, BIND = pure(Encoder)


@pytest.fixture
def params(key):
    """With scales, shifts and running averages away from their start."""
    params = INIT(key)
    noise = np.random.default_rng(0).uniform(0.5, 2.0, size=(4, 5))
    params["norm"] = dict(
        zip(("scale", "bias", "mean", "var"), map(jnp.float32, noise), strict=True)
    )
    return params


def in_training(function):
    return jax.jit(jax.vmap(function, (None, 0), axis_name=statistics.DATAPOINTS))


def exact(params, mean=None, var=None):
    """Outputs, and the mean and variance of the batch before normalisation, in float64."""
    first, norm, last = (
        {name: np.asarray(leaf, np.float64) for name, leaf in params[part].items()}
        for part in ("first", "norm", "last")
    )
    hidden = np.asarray(X, np.float64) @ first["kernel"] + first["bias"]
    moments = hidden.mean(axis=0), hidden.var(axis=0)
    mean, var = moments if mean is None else (mean, var)
    hidden = (hidden - mean) / np.sqrt(var + 1e-5) * norm["scale"] + norm["bias"]
    return hidden @ last["kernel"] + last["bias"], moments


def test_statistics_are_leaves_at_their_natural_paths(key):
    params = INIT(key)
    assert type(params) is dict
    assert sorted(params["norm"]) == ["bias", "mean", "scale", "var"]
    np.testing.assert_array_equal(params["norm"]["mean"], np.zeros(5))
    np.testing.assert_array_equal(params["norm"]["var"], np.ones(5))


def test_training_normalises_by_the_batch_and_evaluation_by_what_is_remembered(params):
    y = in_training(lambda params, x: BIND(params)(x))(params, X)
    np.testing.assert_allclose(y, exact(params)[0], rtol=1e-3, atol=1e-4)
    norm = {name: np.asarray(leaf, np.float64) for name, leaf in params["norm"].items()}
    expected = exact(params, norm["mean"], norm["var"])[0]
    np.testing.assert_allclose(BIND(params)(X), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        jax.vmap(lambda x: BIND(params)(x))(X), expected, rtol=1e-4, atol=1e-5
    )


def test_running_averages_are_those_of_numpy_and_equal_on_all_rows(params):
    num_changed = []

    def updated(params, x):
        changes = statistics.observed(lambda params: BIND(params)(x), params)[1]
        num_changed.append(len(changes))
        return statistics.replaced(params, changes)

    new = in_training(updated)(params, X)
    assert num_changed == [2]
    _, moments = exact(params)
    for name, moment in zip(("mean", "var"), moments, strict=True):
        expected = 0.99 * np.asarray(params["norm"][name], np.float64) + 0.01 * moment
        np.testing.assert_allclose(new["norm"][name][0], expected, rtol=1e-5)
    jax.tree.map(lambda rows: np.testing.assert_array_equal(rows, rows[:1].repeat(20, 0)), new)
    for name in ("scale", "bias"):
        np.testing.assert_array_equal(new["norm"][name][0], params["norm"][name])


def test_reported_statistics_must_be_leaves_of_the_parameters(params):
    def copied(params, x):
        return statistics.observed(lambda _: BIND(jax.tree.map(jnp.copy, params))(x), params)[1]

    with pytest.raises(InputError, match=r"^a network with batch statistics was made of arrays"):
        in_training(copied)(params, X)


def loss_of(outputs):
    return jnp.sum(jnp.sin(outputs) * jnp.arange(40.0).reshape(20, 2))


def test_the_gradient_passes_through_the_batch_and_not_into_the_averages(params):
    """Against the derivative of a batch normalised by hand, and differences in float64."""

    def loss(params):
        return loss_of(in_training(lambda params, x: BIND(params)(x))(params, X))

    def by_hand(params):
        hidden = X @ params["first"]["kernel"] + params["first"]["bias"]
        standard = (hidden - jnp.mean(hidden, 0)) / jnp.sqrt(jnp.var(hidden, 0) + 1e-5)
        hidden = standard * params["norm"]["scale"] + params["norm"]["bias"]
        return loss_of(hidden @ params["last"]["kernel"] + params["last"]["bias"])

    gradient, expected = jax.grad(loss)(params), jax.grad(by_hand)(params)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-2), gradient, expected
    )
    in_evaluation = jax.grad(lambda params: loss_of(BIND(params)(X)))(params)
    for found in (gradient, in_evaluation):
        np.testing.assert_array_equal(found["norm"]["mean"], np.zeros(5))
        np.testing.assert_array_equal(found["norm"]["var"], np.zeros(5))
    assert np.all(in_evaluation["first"]["bias"] != 0.0)


def test_particles_in_chunks_recomputed_for_the_gradient(params):
    """Under grad, scan, checkpoint and a vmap over particles: as in one plain vmap of all."""
    offsets = jnp.linspace(0.0, 1.0, 6)

    def one(params, x, offset):
        return jnp.sum(BIND(params)(x + offset) ** 2)

    def in_chunks(params, x):
        def add(total, chunk):
            return total + jnp.sum(jax.vmap(one, (None, None, 0))(params, x, chunk)), None

        return jax.lax.scan(jax.checkpoint(add), 0.0, offsets.reshape(2, 3))[0]

    def at_once(params, x):
        return jnp.sum(jax.vmap(one, (None, None, 0))(params, x, offsets))

    found, expected = (
        jax.value_and_grad(lambda params, f=f: jnp.sum(in_training(f)(params, X)))(params)
        for f in (in_chunks, at_once)
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3), found, expected
    )


class Holding(nnx.Module):
    def __init__(self, **parts):
        self.norm = nnx.BatchNorm(2, rngs=nnx.Rngs(0))
        self.part = nnx.Dict(parts)


class Count(nnx.Variable):
    pass


@pytest.mark.parametrize(
    ("part", "where"),
    [
        (lambda rngs: nnx.Dropout(0.1, rngs=rngs), "RngCount at part/own/rngs/count"),
        (lambda rngs: rngs, "RngCount at part/own/default/count"),
        (lambda _: Count(jnp.zeros(())), "Count at part/own"),
        (lambda _: nnx.Cache(jnp.zeros(2)), "Cache at part/own"),
        (lambda _: nnx.data(jnp.zeros(2)), "an array at part/own"),
    ],
    ids=["dropout", "rngs", "own", "cache", "array"],
)
def test_other_state_is_refused_by_name(part, where):
    with pytest.raises(InputError, match=f"^the network holds {where}: ") as raised:
        pure(lambda rngs: Holding(own=part(rngs)))
    assert "\n" not in str(raised.value)
