"""Sequential methods: the gradients that they claim, what each loss moves, fits to the best."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from remjax import (
    Batch,
    InputError,
    Particles,
    adam,
    bernoulli_likelihood,
    gaussian_likelihood,
    init_train_state,
    make_epoch,
    metric_means,
    sequential,
)
from remjax.sequential.estimator import check_method
from remjax.types import Params
from tests.gradients import assert_mean, assert_same, assert_same_mean, gradients_of_each
from tests.sequential import exact

TRUTH = exact.example()
MODEL = sequential.linear_gaussian_model(latent_size=2, data_size=3)
RECOGNITION = sequential.linear_gaussian_recognition(latent_size=2, data_size=3)
OPTIMAL = sequential.optimal_recognition(TRUTH.theta)
ETA = {
    name: {**{leaf: own + 0.05 for leaf, own in part.items()}, "log_scale": part["log_scale"] + 0.3}
    for name, part in OPTIMAL.items()
}
PARAMS = Params(TRUTH.theta, ETA)
X = np.asarray(MODEL.sample(TRUTH.theta, jax.random.key(3), 4)[1])
METHODS = {
    "fivo": sequential.fivo(),
    "iwae": sequential.iwae,
    "rws": sequential.rws(),
    "nasmc": sequential.nasmc(),
    "rem": sequential.rem(),
    "theta on the bound, s": sequential.SequentialMethod(
        sequential.bound, sequential.from_matched(), sequential.filtered
    ),
    "eta on the bound": sequential.SequentialMethod(
        sequential.along_ancestors, sequential.from_r, sequential.bound
    ),
}


EIGHT = Particles(8)


def places_by_key(key, log_w, num_samples):
    """Resampling that does not look at the weights: no place changes with the parameters."""
    return jax.random.randint(key, (num_samples,), 0, log_w.shape[0])


def estimator_of(method, particles=EIGHT):
    return sequential.make_estimator(MODEL, RECOGNITION, method, particles)


@pytest.fixture(scope="module")
def contract():
    """name -> (estimate, gradients of theta_loss and of eta_loss) of a ragged batch."""
    batch = Batch(jnp.asarray(sequential.padded([X, X[:2], X[:3]])), jnp.arange(3))

    def both(estimator, params):
        def losses(params):
            estimate, state = estimator.estimate(params, (), jax.random.key(5), batch)
            assert state == ()
            return (estimate.theta_loss, estimate.eta_loss), estimate

        return jax.jacrev(losses, has_aux=True)(params)

    estimators = [estimator_of(method) for method in METHODS.values()]
    run = jax.jit(lambda params: [both(estimator, params) for estimator in estimators])
    return dict(zip(METHODS, run(PARAMS), strict=True))


@pytest.mark.parametrize("name", METHODS)
def test_each_loss_moves_its_own_part_alone(name, contract):
    (of_theta, of_eta), estimate = contract[name]
    for gradient, own, other in ((of_theta, "theta", "eta"), (of_eta, "eta", "theta")):
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
        assert any(np.abs(leaf).max() > 1e-3 for leaf in jax.tree.leaves(getattr(gradient, own)))
        assert all(np.all(leaf == 0.0) for leaf in jax.tree.leaves(getattr(gradient, other)))
    metrics = estimate.metrics
    scored = 3 * 8 * (2 if "rem" in name or name.endswith(" s") else 1)
    assert metrics["scored"] == scored  # four, two and three steps
    assert 1.0 <= metrics["ess"] <= 8.0
    assert (metrics["resampled"] == 0.0) == (name == "iwae")


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_the_gradient_of_fivo_is_that_of_finite_differences(threshold):
    """log Z for one key, its resampled places as they are: a smooth function of theta and eta."""
    fivo = dataclasses.replace(sequential.fivo(threshold), resampling=places_by_key)
    estimator = estimator_of(fivo)
    batch = Batch(jnp.asarray(X)[None], jnp.zeros(1, int))

    @jax.jit
    def run(params):
        def loss(params):
            estimate, _ = estimator.estimate(params, (), jax.random.key(1), batch)
            return estimate.theta_loss + estimate.eta_loss, estimate

        return jax.grad(loss, has_aux=True)(params)

    gradient, _ = run(PARAMS)
    rng = np.random.default_rng(0)
    for part in ("theta", "eta"):
        own = getattr(PARAMS, part)
        way = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32), own)
        step = 2e-3
        ends = [
            float(
                run(
                    PARAMS._replace(**{part: jax.tree.map(lambda a, b, e=end: a + e * b, own, way)})
                )[1].theta_loss
            )
            for end in (step, -step)
        ]
        products = jax.tree.map(lambda a, b: jnp.sum(a * b), getattr(gradient, part), way)
        expected = float(sum(jax.tree.leaves(products)))
        assert abs((ends[0] - ends[1]) / (2 * step) - expected) < 0.01 * abs(expected) + 0.02


def test_theta_ascends_the_log_likelihood_and_keep_is_unbiased():
    """300 keys, K = 300: five standard errors and 0.05 for the bias of order 1 / K.

    Of the weights that do not know what comes after, the bias stays. In keep's mean over 300 keys
    nothing but noise differs.
    """
    rows = gradients_of_each(
        rws=estimator_of(sequential.rws(), Particles(300)),
        keep=estimator_of(sequential.rws(), Particles(300, keep=4)),
        rem=estimator_of(sequential.rem(), Particles(300, keep=8)),
        nasmc=estimator_of(sequential.nasmc(), Particles(300)),
    )(PARAMS, X, jax.random.split(jax.random.key(0), 300))
    exactly = jax.jit(
        jax.grad(lambda theta: -sequential.kalman_filter(theta, jnp.asarray(X)).log_evidence)
    )(TRUTH.theta)
    for name in ("rws", "keep", "rem"):
        assert_mean(rows[name].theta, exactly, bias=0.05)
    with pytest.raises(AssertionError):
        assert_mean(rows["nasmc"].theta, exactly, bias=0.05)
    assert_same(rows["nasmc"].eta, rows["rws"].eta)
    assert_same_mean(rows["keep"].eta, rows["rws"].eta)


def test_one_step_is_the_method_for_vectors():
    """T = 1: log Z is L_K's estimate, and FIVO's gradient that of IWAE, at any threshold."""
    rows = gradients_of_each(
        **{name: estimator_of(METHODS[name]) for name in ("fivo", "iwae", "rws")}
    )(PARAMS, X[:1], jax.random.split(jax.random.key(0), 3))
    assert_same(rows["fivo"], rows["iwae"])
    assert_same(rows["rws"].theta, rows["iwae"].theta)


@pytest.mark.parametrize("name", ["rem", pytest.param("fivo", marks=pytest.mark.exhaustive)])
def test_a_batch_in_parts_and_particles_in_chunks_change_no_number(name):
    x = X[:2]
    batch = Batch(jnp.asarray(np.stack([x, x + 0.1, x - 0.1, x])), jnp.arange(4))

    @jax.jit
    def run(params):
        def gradient(estimator):
            def loss(params):
                estimate, _ = estimator.estimate(params, (), jax.random.key(1), batch)
                return estimate.theta_loss + estimate.eta_loss

            return jax.grad(loss)(params)

        return [
            gradient(estimator_of(METHODS[name], Particles(600, chunk_size=chunk)))
            for chunk in (None, 250)
        ]

    one, in_chunks = run(PARAMS)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-3), one, in_chunks
    )


# Fits


def kalman_mean(theta, x):
    return float(jnp.mean(jax.vmap(lambda x: sequential.kalman_filter(theta, x).log_evidence)(x)))


@pytest.fixture(scope="module")
def task():
    """Ragged sequences, a start, and the largest mean log-likelihood of Kalman from there."""
    truth = exact.example(latent_size=1, data_size=1, seed=1)
    model = sequential.linear_gaussian_model(latent_size=1, data_size=1)
    keys = jax.random.split(jax.random.key(7), 60)
    _, drawn = jax.vmap(lambda key: model.sample(truth.theta, key, 6))(keys)
    rows = np.asarray(drawn)
    x = sequential.padded([row[: 4 + place % 3] for place, row in enumerate(rows)])
    optimizer = optax.adam(3e-2)

    @jax.jit
    def climb(theta):
        def loss(theta):
            each = jax.vmap(lambda x: sequential.kalman_filter(theta, x).log_evidence)
            return -jnp.mean(each(jnp.asarray(x)))

        def step(_, carry):
            theta, state = carry
            updates, state = optimizer.update(jax.grad(loss)(theta), state, theta)
            return jax.tree.map(jnp.add, theta, updates), state

        return jax.lax.fori_loop(0, 1500, step, (theta, optimizer.init(theta)))[0]

    start = model.init(jax.random.key(0))
    return model, x, kalman_mean(start, x), kalman_mean(climb(start), x)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["fivo", "rws", "rem"])
def test_theta_reaches_the_maximum_likelihood_of_kalman(name, task):
    model, x, start, best = task
    recognition = sequential.linear_gaussian_recognition(latent_size=1, data_size=1)
    estimator = sequential.make_estimator(model, recognition, METHODS[name], Particles(30))
    optimizer = adam(1e-2)
    state = init_train_state(estimator, optimizer, jax.random.key(0), x)
    epochs = make_epoch(estimator, optimizer, num_data=len(x), batch_size=len(x))
    state = epochs(state, x, 700)
    reached = kalman_mean(state.params.theta, x)
    assert start < best - 0.3
    assert best - 0.05 < reached < best + 0.01
    assert metric_means(state)["skipped_updates"] == 0.0


@pytest.mark.parametrize("kind", ["bits", pytest.param("reals", marks=pytest.mark.exhaustive)])
def test_networks_learn(kind):
    """Rows that repeat what came before them, some entries missing; the bound rises by a nat."""
    rng = np.random.default_rng(0)
    first = rng.random((20, 1, 4)) < 0.5
    x = np.tile(first, (1, 5, 1)).astype(np.float32)
    if kind == "reals":
        x = 2.0 * x + 0.1 * rng.normal(size=x.shape).astype(np.float32)
    mean, scale = x.mean(axis=(0, 1)), x.std(axis=(0, 1))
    x[0, 2, 1] = x[1, 3:] = np.nan
    likelihood = bernoulli_likelihood(mean) if kind == "bits" else gaussian_likelihood(mean, scale)
    sizes = {"latent_size": 2, "hidden_sizes": (8,)}
    model = sequential.network_model(likelihood, **sizes)
    recognition = sequential.network_recognition(mean, data_scale=scale, **sizes)
    estimator = sequential.make_estimator(model, recognition, sequential.rem(), Particles(10))
    optimizer = adam(1e-2)
    state = init_train_state(estimator, optimizer, jax.random.key(0), x)
    epochs = make_epoch(estimator, optimizer, num_data=20, batch_size=20)
    state = epochs(state, x, 1)
    before = metric_means(state)["log_evidence"]
    state = epochs(state, x, 150)
    assert metric_means(state)["log_evidence"] > before + 1.0
    assert metric_means(state)["skipped_updates"] == 0.0
    z, drawn = model.sample(state.params.theta, jax.random.key(1), 3)
    assert z.shape == (3, 2)
    assert drawn.shape == (3, 4)


@pytest.mark.exhaustive
def test_memory_grows_with_the_root_of_the_number_of_steps():
    """What the backward pass of FIVO keeps: at 16 times the steps far below 16 times as much."""
    sizes = {"latent_size": 2, "hidden_sizes": (64,)}
    model = sequential.network_model(bernoulli_likelihood(np.full(3, 0.5)), **sizes)
    recognition = sequential.network_recognition(np.full(3, 0.5), **sizes)
    estimator = sequential.make_estimator(model, recognition, METHODS["fivo"], Particles(200))

    def bytes_of(num_steps):
        def loss(params):
            batch = Batch(jnp.zeros((1, num_steps, 3)), jnp.zeros(1, int))
            estimate, _ = estimator.estimate(params, (), jax.random.key(0), batch)
            return estimate.theta_loss + estimate.eta_loss

        params = jax.eval_shape(lambda: estimator.init(jax.random.key(0))[0])
        return jax.jit(jax.grad(loss)).lower(params).compile().memory_analysis().temp_size_in_bytes

    assert bytes_of(256) < 4.5 * bytes_of(16)


# What a user gives


def test_what_is_refused():
    for call, message in (
        (lambda: check_method(sequential.rem, EIGHT), r"method is rem, .*: call it, as rem\(\)"),
        (lambda: check_method(3, EIGHT), "method is 3, which is no SequentialMethod"),
        (lambda: estimator_of(METHODS["fivo"], Particles(8, keep=2)), r"keep is 2: .* log Z"),
        (lambda: sequential.fivo(2.0), r"threshold is 2\.0: give the share of K"),
        (
            lambda: sequential.SequentialMethod(
                sequential.bound, sequential.from_matched(), sequential.bound
            ),
            "draws of 0.5 r . 0.5 s do not move with eta: take from_r",
        ),
        (lambda: sequential.padded([]), "there are no sequences"),
        (lambda: sequential.padded([X, X[:, :2]]), r"sequence 1 has the shape \(4, 2\)"),
    ):
        with pytest.raises(InputError, match=message) as refused:
            call()
        assert "\n" not in str(refused.value)


def test_methods_that_are_made_alike_are_equal():
    assert sequential.rem() == sequential.rem() != sequential.rem(share=0.2)
    assert sequential.fivo(0.0) == sequential.iwae != sequential.fivo()
    assert len({hash(sequential.rem()), hash(sequential.rem())}) == 1
    assert [str(METHODS[name].proposal) for name in ("rws", "rem")] == ["r", "0.5 r + 0.5 s"]
