"""What builders make of the data: units, constant columns, supports, and what they refuse."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats

from remjax import models
from remjax.errors import InputError

RNG = np.random.default_rng(0)
SIZES = {"latent_size": 2, "hidden_sizes": (8,)}
# Correlated columns, of different means and scales, and one that is constant.
TABLE = RNG.normal(size=(200, 2)) @ RNG.normal(size=(2, 5)) + 0.3 * RNG.normal(size=(200, 5))
TABLE = TABLE * [1.0, 20.0, 0.1, 1.0, 0.0] + [0.0, 300.0, 1.0, -5.0, 2.0]
KEY = jax.random.key(0)


def elbos(model, recognition, params, table):
    """One-draw bounds of all rows; the noise is the same whatever the table's units."""

    def one(x, key):
        r = recognition.distribution(params["eta"], x)
        z = r.rsample(key)
        return model.joint(params["theta"], x)(z) - r.log_prob(z)

    return jax.vmap(one)(table, jax.random.split(KEY, len(table)))


def scores(table, num_steps):
    """The bounds of the rows at the start and after some steps of Adam."""
    table = np.asarray(table, np.float32)
    mean, scale = table.mean(axis=0, dtype=np.float64), table.std(axis=0, dtype=np.float64)
    model = models.gaussian_model(models.gaussian_likelihood(mean, scale), **SIZES)
    recognition = models.gaussian_recognition(mean, data_scale=scale, **SIZES)
    params = {"theta": model.init(KEY), "eta": recognition.init(KEY)}
    adam = optax.adam(1e-2)

    @jax.jit
    def step(params, state):
        gradient = jax.grad(lambda p: -jnp.mean(elbos(model, recognition, p, table)))(params)
        updates, state = adam.update(gradient, state)
        return optax.apply_updates(params, updates), state

    start = elbos(model, recognition, params, table)
    state = adam.init(params)
    for _ in range(num_steps):
        params, state = step(params, state)
    return np.asarray(start), np.asarray(elbos(model, recognition, params, table))


@pytest.mark.parametrize(
    "factor",
    [
        pytest.param(1024.0, marks=pytest.mark.exhaustive),
        pytest.param(1e-3, marks=pytest.mark.exhaustive),
        [1e4, 1e-4, 7.0, 1e3, 1.0],
    ],
    ids=str,
)
def test_other_units_change_a_score_by_their_constant_alone(factor):
    """Before training and after 30 steps, of a whole table and of its columns."""
    factor = np.broadcast_to(factor, 5)
    own, other = scores(TABLE, 30), scores(TABLE * factor, 30)
    # A constant column is measured in the median of the others' units.
    units = np.append(TABLE.std(axis=0)[:4], 0.0)
    units[4] = np.median(units[:4])
    other_units = units * factor
    other_units[4] = np.median(other_units[:4])
    shift = np.sum(np.log(other_units / units))
    for before, after in zip(own, other, strict=True):
        np.testing.assert_allclose(after, before - shift, rtol=1e-3, atol=2e-2)
    assert own[1].mean() > own[0].mean() + 0.5


def test_a_gaussian_likelihood_starts_with_the_moments_of_the_data():
    mean, scale = TABLE.mean(axis=0), TABLE.std(axis=0)
    likelihood = models.gaussian_likelihood(mean, scale)
    start = np.append(scale[:4], 0.01 * np.median(scale[:4]))
    np.testing.assert_allclose(likelihood.mean(likelihood.init, likelihood.output_bias), mean)
    x = jnp.asarray(TABLE[0], jnp.float32)
    value = likelihood.log_prob(likelihood.init, likelihood.output_bias, x)
    np.testing.assert_allclose(value, scipy.stats.norm(mean, start).logpdf(TABLE[0]).sum(), 1e-4)
    keys = jax.random.split(KEY, 4000)
    sample = jax.vmap(lambda key: likelihood.sample(likelihood.init, likelihood.output_bias, key))
    drawn = np.asarray(sample(keys), np.float64)
    assert np.all(np.abs(drawn.mean(axis=0) - mean) < 5 * start / np.sqrt(4000))
    assert np.all(np.abs(drawn.var(axis=0) / start**2 - 1) < 5 * np.sqrt(2 / 4000))


def test_the_floors_follow_the_columns():
    """A thousandth of the scale, and of the median of the others' for a constant column."""
    mean, scale = TABLE.mean(axis=0), TABLE.std(axis=0)
    likelihood = models.gaussian_likelihood(mean, scale)
    floor = 1e-3 * np.append(scale[:4], np.median(scale[:4]))
    value = likelihood.log_prob(
        {"log_relative_scale": jnp.full(5, -1e4)}, jnp.zeros(5), jnp.float32(mean)
    )
    np.testing.assert_allclose(value, scipy.stats.norm(0, floor).logpdf(0).sum(), rtol=1e-4)


def test_where_all_columns_are_constant_the_unit_is_one():
    likelihood = models.gaussian_likelihood(np.array([0.1, 5.0]), np.array([0.0, 1e-7]))
    at_the_mean = likelihood.log_prob(likelihood.init, jnp.zeros(2), jnp.array([0.1, 5.0]))
    np.testing.assert_allclose(at_the_mean, 2 * scipy.stats.norm(0, 0.01).logpdf(0), rtol=1e-5)


@pytest.mark.parametrize("scale", [0.3, [0.3], np.array([0.3]), jnp.full(3, 0.3)], ids=str)
def test_one_scale_serves_all_columns(scale):
    likelihood = models.gaussian_likelihood(np.zeros(3), scale)
    assert likelihood.init["log_relative_scale"].shape == (3,)
    value = likelihood.log_prob(likelihood.init, jnp.zeros(3), jnp.ones(3))
    np.testing.assert_allclose(value, scipy.stats.norm(0, 0.3).logpdf(np.ones(3)).sum(), rtol=1e-5)


BUILDERS = {
    "bernoulli": models.bernoulli_likelihood,
    "gaussian": lambda mean: models.gaussian_likelihood(mean, 1.0),
    "gaussian_recognition": lambda mean: models.gaussian_recognition(mean, **SIZES),
    "categorical_recognition": lambda mean: models.categorical_recognition(
        mean, num_categories=3, **SIZES
    ),
    "layers": lambda mean: models.sigmoid_belief_recognition(mean, latent_sizes=(2,)),
    "uncertain": lambda mean: models.uncertain_gaussian_networks(
        models.bernoulli_likelihood(np.full(64, 0.5)), mean, **SIZES
    ),
}


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize(
    ("mean", "message"),
    [
        (np.zeros((1, 64)), r"^data_mean has the shape \(1, 64\): give a vector, one mean per"),
        (0.5, r"^data_mean has the shape \(\): give a vector, one mean per column, as x.mean\("),
        (np.zeros(0), r"^data_mean has the shape \(0,\)"),
        (np.where(np.arange(64) == 7, np.nan, 0.5), r"^data_mean holds nan at column 7: drop"),
        (np.where(np.arange(64) == 7, np.inf, 0.5), r"^data_mean holds inf at column 7: drop"),
    ],
    ids=["row", "scalar", "empty", "nan", "inf"],
)
def test_a_mean_that_is_no_vector_of_numbers_is_refused(name, mean, message):
    with pytest.raises(InputError, match=message) as raised:
        BUILDERS[name](mean)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("value", [255.0, -0.5])
def test_a_mean_that_is_no_probability_is_refused(value):
    with pytest.raises(InputError, match=rf"^data_mean holds {value:g} at column 1 and Bernoullis"):
        models.bernoulli_likelihood(np.array([0.5, value]))
    models.bernoulli_likelihood(np.array([0.0, 1.0 + 1e-7]))


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (np.ones((1, 3)), r"^data_scale has the shape \(1, 3\) for 3 columns: give one number, or"),
        (np.ones(2), r"^data_scale has the shape \(2,\) for 3 columns"),
        (np.array([1.0, -2.0, 1.0]), r"^data_scale holds -2 at column 1: give standard deviations"),
        (np.nan, r"^data_scale holds nan at column 0"),
    ],
)
def test_scales_that_are_none_are_refused(scale, message):
    for make in (
        models.gaussian_likelihood,
        lambda mean, scale: models.gaussian_recognition(mean, data_scale=scale, **SIZES),
    ):
        with pytest.raises(InputError, match=message) as raised:
            make(np.zeros(3), scale)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize(
    ("shape", "mend"),
    [
        ((8, 8), r"reshape the data to \[N, 64\]"),
        ((), "give data of 64 columns"),
        ((1,), "give data of 64 columns"),
        ((64, 64), "give data of 64 columns"),
    ],
)
def test_a_datapoint_of_another_shape_is_refused(name, shape, mend):
    made, x = BUILDERS[name](np.full(64, 0.5)), jnp.zeros(shape)

    def score():
        if isinstance(made, models.Likelihood):
            return made.log_prob(made.init, jnp.zeros(64), x)
        recognition = made[1] if name == "uncertain" else made
        r = recognition.distribution(recognition.init(KEY), x)
        return r.log_prob((jnp.zeros(r.first.mean.shape), jnp.zeros(2)))

    taker = "the likelihood" if isinstance(made, models.Likelihood) else "the recognition network"
    found = f"a datapoint has the shape {shape} and {taker} takes vectors of 64: "
    with pytest.raises(InputError, match=f"^{re.escape(found)}{mend}$"):
        score()


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32])
def test_whole_numbers_are_data(dtype):
    """Bits of any type give what float32 gives: densities, and the gradients of both networks."""
    bits, mean = RNG.integers(0, 2, 6), np.full(6, 0.4)
    for likelihood in (models.bernoulli_likelihood(mean), models.gaussian_likelihood(mean, 0.5)):
        model = models.gaussian_model(likelihood, **SIZES)
        recognition = models.gaussian_recognition(mean, **SIZES)
        params = {"theta": model.init(KEY), "eta": recognition.init(KEY)}

        @jax.jit
        def of(params, x, model=model, recognition=recognition):
            r = recognition.distribution(params["eta"], x)
            return model.log_likelihood(params["theta"], x, r.rsample(KEY))

        both = jax.value_and_grad(of)
        found, expected = (both(params, jnp.asarray(bits, kind)) for kind in (dtype, np.float32))
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7), found, expected
        )


def test_the_support_of_a_likelihood_is_that_of_its_models():
    likelihood = models.bernoulli_likelihood(np.full(3, 0.5))
    for model in (
        models.gaussian_model(likelihood, **SIZES),
        models.categorical_model(likelihood, num_categories=2, **SIZES),
        models.sigmoid_belief_network(likelihood, latent_sizes=(2,)),
        models.uncertain_gaussian_networks(likelihood, np.zeros(3), **SIZES)[0],
    ):
        assert model.support[:2] == (0.0, 1.0)
        assert "divide bytes by 255" in model.support.mend
    model = models.gaussian_model(models.gaussian_likelihood(np.zeros(3), 1.0), **SIZES)
    assert model.support[:2] == (-np.inf, np.inf)


def test_theta_is_not_the_likelihoods_own_array():
    """Training uses up the theta that it is given; the likelihood serves a second model."""
    likelihood = models.gaussian_likelihood(np.zeros(3), 1.0)
    model = models.gaussian_model(likelihood, **SIZES)
    model.init(KEY)["likelihood"]["log_relative_scale"].delete()
    np.testing.assert_array_equal(model.init(KEY)["likelihood"]["log_relative_scale"], np.zeros(3))
