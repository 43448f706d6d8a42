"""A fit in one call is the ten lines that it stands for, goes on, stops, is kept and comes back."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import remjax
from remjax import fitting, methods
from remjax.data.binarization import per_minibatch
from remjax.data.values import value_facts
from remjax.errors import InputError

RNG = np.random.default_rng(0)
LATENT = RNG.normal(size=(200, 2))
TABLE = (LATENT @ RNG.normal(size=(2, 6)) + 0.2 * RNG.normal(size=(200, 6))) * 10.0 + 5.0
SIZES = {"latent_size": 2, "hidden_sizes": (16,)}


def own_networks():
    mean, scale = TABLE.mean(axis=0), TABLE.std(axis=0)
    return (
        remjax.gaussian_model(remjax.gaussian_likelihood(mean, scale), **SIZES),
        remjax.gaussian_recognition(mean, data_scale=scale, **SIZES),
    )


MODEL, RECOGNITION = own_networks()


def short(x=TABLE, **options):
    options = {"epochs": 2, "progress": False, "optimizer": remjax.adam(1e-2)} | options
    return remjax.fit(x, MODEL, RECOGNITION, methods.vae(), remjax.Particles(2), **options)


@pytest.fixture(scope="module")
def fitted():
    """Forty epochs on the table, with a tenth of the rows held out."""
    return short(epochs=40, valid_fraction=0.1)


def same(left, right):
    jax.tree.map(np.testing.assert_array_equal, left.params, right.params)


def test_it_is_ten_lines_of_the_library():
    found = short()
    estimator = remjax.make_estimator(MODEL, RECOGNITION, methods.vae(), remjax.Particles(2))
    optimizer, x = remjax.adam(1e-2), TABLE.astype(np.float32)
    state = remjax.init_train_state(estimator, optimizer, jax.random.key(0), x)
    epochs = remjax.make_epoch(estimator, optimizer, num_data=len(x), batch_size=20)
    state = epochs(state, jnp.asarray(x), 2 * 10)
    jax.tree.map(np.testing.assert_array_equal, found.params, state.params)
    means = remjax.metric_means(state)
    assert {name: found.history[-1][name] for name in means} == means
    assert [epoch["epoch"] for epoch in found.history] == [1, 2]


def test_it_goes_on_as_if_more_had_been_asked_for():
    seen = []
    first = short(on_epoch=lambda history: seen.append(len(history)))
    kept = jax.tree.map(np.array, first.params)
    same(first.more(2), short(epochs=4))
    jax.tree.map(np.testing.assert_array_equal, kept, first.params)
    assert len(first.history) == 2
    assert seen == [1, 2, 3, 4]
    np.testing.assert_array_equal(first.column("epoch"), [1.0, 2.0])


def test_a_fit_is_used(fitted):
    codes = fitted.encode(TABLE)
    assert codes.shape == (200, 2)
    r = RECOGNITION.r(fitted.params.eta, jnp.asarray(TABLE[0], jnp.float32))
    np.testing.assert_allclose(codes[0], r.mean, rtol=1e-4, atol=1e-5)
    # Two latents explain the table but for noise of a scale of 2.
    error = fitted.reconstruct(TABLE) - TABLE
    assert np.sqrt(np.mean(error**2)) < 0.5 * TABLE.std()
    drawn = fitted.sample(1000)
    assert np.all(np.abs(np.log(drawn.std(axis=0) / TABLE.std(axis=0))) < 0.5)
    means = fitted.sample(1000, noise=False)
    assert np.all(means.std(axis=0) < drawn.std(axis=0))
    score = fitted.log_likelihood(TABLE[:50], num_particles=50)
    assert score.log_likelihood.shape == (50,)
    assert abs(score.mean - fitted.history[-1]["valid_log_likelihood"]) < 3.0
    assert str(fitted).startswith("40 epochs, valid_log_likelihood -")
    assert repr(fitted) == f"<Fit: {fitted}>"


def test_it_stops_early_with_the_best_parameters():
    """Each epoch of a huge rate makes it worse or better; those of the best are kept."""
    found = short(epochs=60, valid_fraction=0.2, patience=3, optimizer=remjax.adam(0.1))
    values = found.column("valid_log_likelihood")
    best = int(np.argmax(values))
    assert len(values) == best + 4
    assert len(values) < 60
    again = short(epochs=best + 1, valid_fraction=0.2, optimizer=remjax.adam(0.1))
    same(found, again)


def test_it_is_kept_and_comes_back(fitted, tmp_path):
    fitted.save(tmp_path / "fit")
    with pytest.raises(InputError, match=r"holds something already: choose another place"):
        fitted.save(tmp_path / "fit")
    with pytest.raises(InputError, match=r"is a fit of networks of your own: give load the model"):
        remjax.load(tmp_path / "fit")
    back = remjax.load(tmp_path / "fit", MODEL, RECOGNITION)
    np.testing.assert_array_equal(back.encode(TABLE), fitted.encode(TABLE))
    assert back.history == tuple(dict(epoch) for epoch in fitted.history)
    same(short(start=back, epochs=1), short(start=fitted, epochs=1))
    wider = remjax.gaussian_model(
        remjax.gaussian_likelihood(TABLE.mean(axis=0), 1.0), latent_size=3, hidden_sizes=(16,)
    )
    with pytest.raises(InputError, match=r"does not fit"):
        remjax.load(tmp_path / "fit", wider, RECOGNITION)
    (tmp_path / "fit" / "fit.json").write_text('{"version": 1')
    with pytest.raises(InputError, match=r"is damaged, or of another version"):
        remjax.load(tmp_path / "fit", MODEL, RECOGNITION)
    with pytest.raises(InputError, match=r"holds no fit: name a folder that fit.save made"):
        remjax.load(tmp_path, MODEL, RECOGNITION)


def test_a_table_with_holes_by_default_networks(tmp_path):
    """What is missing is left out of the likelihood, and imputed nearer than by means."""
    holes = RNG.random(TABLE.shape) < 0.15
    x = np.where(holes, np.nan, TABLE)
    found = remjax.fit(x, epochs=60, optimizer=remjax.adam(1e-2), progress=False)
    assert "gaussian likelihood" in str(found)
    assert "missing values left out; 3 Gaussian latents, tanh layers of 100 and 100" in str(found)
    filled = found.impute(x, num_particles=200)
    np.testing.assert_array_equal(filled[~holes], x.astype(np.float32)[~holes])
    error, naive = (
        np.sqrt(np.mean((guess - TABLE)[holes] ** 2))
        for guess in (filled, np.broadcast_to(np.nanmean(x, axis=0), x.shape))
    )
    assert error < 0.7 * naive
    found.save(tmp_path / "fit")
    back = remjax.load(tmp_path / "fit")
    np.testing.assert_array_equal(
        back.impute(x[:20], num_particles=50), found.impute(x[:20], num_particles=50)
    )
    assert json.loads((tmp_path / "fit" / "fit.json").read_text())["networks"]["latent_size"] == 3


def test_images_come_back_as_images():
    images = RNG.random((60, 4, 3)).astype(np.float32)
    found = remjax.fit(
        images, epochs=1, progress=False, binarization=per_minibatch, valid_fraction=0.2
    )
    assert "bernoulli likelihood (pixels from 0 to 1)" in str(found)
    assert found.reconstruct(images[:5]).shape == (5, 4, 3)
    assert found.sample(2).shape == (2, 4, 3)
    assert set(np.unique(found.sample(2))) <= {0.0, 1.0}


@pytest.mark.parametrize(
    ("x", "name"),
    [
        (RNG.poisson(2.0, (50, 3)), "poisson"),
        (RNG.negative_binomial(1, 0.1, (50, 3)), "negative_binomial"),
        (RNG.integers(0, 2, (50, 3)), "bernoulli"),
        (RNG.normal(size=(50, 3)), "gaussian"),
    ],
)
def test_default_networks_say_what_they_chose(x, name):
    networks = fitting.default_networks(value_facts(x))
    assert str(networks).startswith(f"{name} likelihood (")
    model, recognition = networks.build()
    theta, eta = model.init(jax.random.key(0)), recognition.init(jax.random.key(1))
    row = jnp.asarray(x[0])
    z = recognition.r(eta, row).sample(jax.random.key(2))
    assert np.isfinite(model.joint(theta, row)(z))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs is 0: give a positive number"),
        ({"patience": 3}, "patience is 3 with valid_fraction 0.0: give both"),
        ({"valid_fraction": 1.0}, "valid_fraction is 1.0: give a number from 0"),
        ({"valid_fraction": 0.001}, "valid_fraction is 0.001 of 200 rows: there is none"),
        ({"batch_size": 500}, "batch_size is 500: give a number from 1 to the 200"),
        ({"x": TABLE[0]}, r"x has the shape \(6,\): give rows \[N, X\]"),
        ({"x": np.where(TABLE > 9, np.nan, TABLE)}, "row 1 holds nan .* drop or impute"),
        ({"x": np.where(TABLE > 9, np.inf, TABLE)}, "row 1 holds inf .* drop or impute"),
    ],
    ids=str,
)
def test_refusals(options, message):
    with pytest.raises(InputError, match=f"^{message}"):
        short(**options)


def test_networks_go_together():
    with pytest.raises(InputError, match=r"^model and recognition go together"):
        remjax.fit(TABLE, MODEL)
