"""A model given a condition is the model of x alone whose decoder sees z and the condition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import remjax
from remjax import methods, models
from remjax.data import check_rows
from remjax.data.binarization import leaving_the_end, per_minibatch
from remjax.errors import InputError
from remjax.models import Prior, dense_decoder, latent_variable_model

RNG = np.random.default_rng(0)
# Four columns around a centre of the label's own, moved along one direction by a latent.
LABELS = RNG.integers(0, 3, 300)
C = np.eye(3, dtype=np.float32)[LABELS]
CENTRES = 3.0 * RNG.normal(size=(3, 4))
X = CENTRES[LABELS] + RNG.normal(size=(300, 1)) * RNG.normal(size=(1, 4))
X = (X + 0.2 * RNG.normal(size=(300, 4))).astype(np.float32)
ROWS = np.concatenate([X, C], axis=1)
SIZES = {"latent_size": 2, "hidden_sizes": (16,)}
LIKELIHOOD = remjax.gaussian_likelihood(X.mean(axis=0), X.std(axis=0))
MODEL = models.gaussian_model(LIKELIHOOD, condition_size=3, **SIZES)
RECOGNITION = models.gaussian_recognition(
    ROWS.mean(axis=0), data_scale=np.append(X.std(axis=0), np.ones(3)), **SIZES
)


@pytest.fixture(scope="module")
def fitted():
    return remjax.fit(
        ROWS, MODEL, RECOGNITION, methods.iwae, remjax.Particles(5),
        epochs=60, optimizer=remjax.adam(1e-2), progress=False,
    )  # fmt: skip


def with_label(label):
    return np.concatenate([X, np.tile(np.eye(3, dtype=np.float32)[label], (300, 1))], axis=1)


def test_the_right_label_is_likelier_than_a_wrong_one(fitted):
    by_label = np.stack(
        [
            fitted.log_likelihood(with_label(label), num_particles=50).log_likelihood
            for label in range(3)
        ]
    )
    assert np.mean(by_label.argmax(axis=0) == LABELS) > 0.95
    right = by_label[LABELS, np.arange(300)].mean()
    assert right > by_label.mean() + 2.0


def test_what_is_drawn_has_the_label_that_was_asked_for(fitted):
    for label in range(3):
        drawn = fitted.sample(200, condition=np.eye(3)[label])
        assert drawn.shape == (200, 4)
        np.testing.assert_allclose(drawn.mean(axis=0), CENTRES[label], atol=0.8)
    means = fitted.reconstruct(ROWS)
    assert means.shape == X.shape
    assert np.mean((means - X) ** 2) < 0.1 * X.var()


def test_a_density_is_that_of_the_decoder_of_z_and_c():
    """By the decoder alone, at a network of the same parameters whose latent is (z, c)."""
    theta = MODEL.init(jax.random.key(0))
    z = jnp.array([0.3, -1.0])
    plain = latent_variable_model(
        LIKELIHOOD,
        Prior(lambda _: (), lambda _: remjax.DiagonalGaussian(jnp.zeros(5), jnp.ones(5))),
        dense_decoder(LIKELIHOOD.output_bias, latent_size=5, hidden_sizes=(16,)),
    )
    row, x, both = jnp.asarray(ROWS[0]), jnp.asarray(X[0]), jnp.concatenate([z, C[0]])
    expected = plain.log_likelihood(theta, x, both)
    np.testing.assert_allclose(MODEL.log_likelihood(theta, row, z), expected, rtol=1e-6)
    given = MODEL.at(row)
    np.testing.assert_allclose(given.log_likelihood(theta, x, z), expected, rtol=1e-6)
    np.testing.assert_array_equal(given.mean(theta, z), plain.mean(theta, both))
    decoded = MODEL.decoded(theta, row)
    np.testing.assert_allclose(decoded.log_prob(decoded.output(z)), expected, rtol=1e-6)
    # The prior knows no condition.
    standard = remjax.DiagonalGaussian(jnp.zeros(2), jnp.ones(2))
    np.testing.assert_allclose(MODEL.log_prior(theta, z), standard.log_prob(z), rtol=1e-6)


def test_a_dream_keeps_its_condition():
    theta = MODEL.init(jax.random.key(0))
    z, x = MODEL.dream(theta, jax.random.key(1), jnp.asarray(ROWS[0]))
    assert (z.shape, x.shape) == ((2,), (7,))
    np.testing.assert_array_equal(x[4:], C[0])
    with pytest.raises(InputError, match=r"^the model has a condition, without which"):
        MODEL.sample(theta, jax.random.key(1))


def test_methods_that_dream_and_that_learn_a_baseline_train():
    bits = (X.mean(axis=0) < X).astype(np.float32)
    rows = np.concatenate([bits, C], axis=1)
    likelihood = remjax.bernoulli_likelihood(bits.mean(axis=0))
    sizes = {"latent_sizes": (3,)}
    model = models.sigmoid_belief_network(likelihood, condition_size=3, **sizes)
    recognition = models.sigmoid_belief_recognition(rows.mean(axis=0), **sizes)
    for method in (methods.wake_sleep, methods.nvil()):
        found = remjax.fit(
            rows, model, recognition, method, remjax.Particles(2), epochs=1, progress=False
        )
        assert np.isfinite(found.column("log_evidence")).all()


def test_missing_values_are_filled_in_and_the_condition_stays(fitted):
    model = models.gaussian_model(models.marginalized(LIKELIHOOD), condition_size=3, **SIZES)
    again = remjax.fitting.Fitted(model, RECOGNITION, fitted.params, None, (7,), ())
    holes = ROWS.copy()
    holes[::2, 1] = np.nan
    filled = again.impute(holes, num_particles=50)
    np.testing.assert_array_equal(filled[:, 4:], C)
    np.testing.assert_array_equal(filled[1::2, :4], X[1::2])
    assert np.sqrt(np.mean((filled[::2, 1] - X[::2, 1]) ** 2)) < 0.3 * X[:, 1].std()
    with pytest.raises(InputError, match=r"^the condition: row 0 holds nan"):
        check_rows(np.full((2, 7), np.nan), model.support)


def test_refusals(fitted):
    with pytest.raises(InputError, match=r"^the model has a condition: give one of 3 numbers$"):
        fitted.sample(1)
    with pytest.raises(InputError, match=r"^a condition of shape \(2,\): give 3 finite numbers"):
        fitted.sample(1, condition=(0, 1))
    with pytest.raises(InputError, match=r"^data of shape \(300, 3\): give rows \[N, X \+ 3\]"):
        fitted.encode(C)
    with pytest.raises(InputError, match="the model, with 3 numbers of a condition, takes vectors"):
        fitted.log_likelihood(X)


def test_binarisation_leaves_the_condition_as_it_is():
    """Age, say, is no probability of a bit."""
    grey = np.full((40, 2), 0.5, np.float32)
    rows = np.concatenate([grey, np.linspace(-2.0, 3.0, 40, dtype=np.float32)[:, None]], axis=1)
    bits = leaving_the_end(per_minibatch, 1)(
        jax.random.key(0), 0, 0, jnp.arange(40), jnp.asarray(rows)
    )
    np.testing.assert_array_equal(bits[:, 2], rows[:, 2])
    assert set(np.unique(bits[:, :2])) == {0.0, 1.0}
    assert leaving_the_end(per_minibatch, 0) is per_minibatch
