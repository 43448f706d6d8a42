"""A method is a value: made twice it is equal, its parts are a user's to give, and it says no."""

import dataclasses
import inspect
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax import (
    Batch,
    InputError,
    Particles,
    Recognition,
    bernoulli_likelihood,
    gaussian_model,
    gaussian_recognition,
    make_estimator,
    methods,
    sigmoid_belief_network,
    sigmoid_belief_recognition,
)
from remjax.methods import Draws, Method, Normalized, Sum, from_defensive, from_r, from_s
from remjax.particles.covariances import Covariance, shrunk_with_mean, tempered, weighted

MEAN = np.full(4, 0.3)
LIKELIHOOD = bernoulli_likelihood(MEAN)
WIDTHS = {"latent_size": 2, "hidden_sizes": ()}
REAL = gaussian_model(LIKELIHOOD, **WIDTHS), gaussian_recognition(MEAN, **WIDTHS)
BITS = (
    sigmoid_belief_network(LIKELIHOOD, latent_sizes=(2,)),
    sigmoid_belief_recognition(MEAN, latent_sizes=(2,)),
)
BATCH = Batch(jnp.asarray([[1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]]), jnp.arange(2))

CONSTANTS = {name: each for name, each in vars(methods).items() if isinstance(each, Method)}
MAKERS = {
    name: each
    for name, each in vars(methods).items()
    if inspect.isfunction(each) and typing.get_type_hints(each).get("return") is Method
}
# Arguments that have no defaults.
NEEDED = {
    "rem": {"proposal": from_r, "hyperproposal": from_r},
    "structured_prediction": {"num_updates": 10},
    "warm_up": {"method": methods.rloo, "num_updates": 10},
    "with_dreams": {"method": methods.rloo},
}
# Knobs that are not the defaults, of a kind each.
KNOBS = {
    "vae": {"analytic_kl": True},
    "vr": {"alpha": 0.3},
    "miwae": {"num_groups": 2},
    "rem": {"proposal": from_defensive(0.3), "hyperproposal": from_s(weighted())},
    "rem_v2": {"covariance": tempered((1.0, 0.5, 0.0)), "hyperproposal": from_r},
    "rem_curvature": {
        "steps": 2,
        "share": 0.5,
        "inflation": 1.5,
        "largest_cost": 9.0,
        "gaussian_share": 0.5,
    },
    "rem_dreg": {"covariance": weighted()},
    "rem_pooled": {"covariance": weighted()},
    "rws": {"hyperproposal": from_defensive(0.3), "dream_share": 0.5},
    "vimco": {"stand_in": methods.arithmetic_mean},
    "tvo": {"num_partitions": 3, "first_beta": 0.1},
    "nvil": {"baseline": None, "lagged": True, "decay": 0.5, "signals": methods.whole_signal},
    "structured_prediction": {"num_updates": 10, "last": 0.1},
    "warm_up": {"method": methods.rem_v1(), "num_updates": 20},
    "with_dreams": {"method": methods.rloo, "share": 0.5, "num_dreams": 2},
}
BASIC = {name: make(**NEEDED.get(name, {})) for name, make in MAKERS.items()} | CONSTANTS


@pytest.mark.parametrize("name", MAKERS)
def test_a_method_made_twice_is_equal(name):
    for knobs in (NEEDED.get(name, {}), KNOBS.get(name, NEEDED.get(name, {}))):
        one, other = MAKERS[name](**knobs), MAKERS[name](**knobs)
        assert one == other
        assert hash(one) == hash(other)
        assert (one == BASIC[name]) == (knobs == NEEDED.get(name, {}))


def test_methods_are_keys_and_different_ones_differ():
    """But for those that are one: REM with r for s is RWS, and RWS with its defence."""
    assert all(hash(method) == hash(dataclasses.replace(method)) for method in CONSTANTS.values())
    assert methods.rem(from_r, from_r) == methods.rws()
    assert methods.rws(from_defensive(0.4)) == methods.rws_defensive(0.4)
    assert methods.with_dreams(methods.reinforce) == methods.wake_sleep
    assert methods.with_dreams(methods.rloo, share=0.0) == methods.rloo
    assert len(set(BASIC.values())) == len(BASIC) - 1


# What a user gives


def of_each(function, methods, networks):
    """function(estimator, params) of each method, compiled together."""
    estimators = [make_estimator(*networks, method, Particles(6)) for method in methods]

    @jax.jit
    def run(key):
        params, _ = estimators[0].init(key)
        return [function(estimator, params) for estimator in estimators]

    return run(jax.random.key(0))


def estimate(estimator, params):
    return estimator.estimate(params, (), jax.random.key(1), BATCH)[0]


def estimates(*methods, networks=REAL):
    """The estimate of a batch by each method."""
    return of_each(estimate, methods, networks)


def gradients(*methods, networks=REAL):
    """(gradient of both losses together, estimate) of a batch by each method."""

    def gradient(estimator, params):
        def loss(params):
            value = estimate(estimator, params)
            return value.theta_loss + value.eta_loss, value

        return jax.grad(loss, has_aux=True)(params)

    return of_each(gradient, methods, networks)


def assert_equal(one, other):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), one, other)


def test_equal_proposals_share_their_particles():
    """K particles are scored and not 2 K, and both losses have the same weights."""
    same = methods.rem(from_defensive(0.2), from_defensive(0.2))
    apart = methods.rem(from_defensive(0.2), from_defensive(0.3))
    one, two = (value.metrics for value in estimates(same, apart))
    assert one["scored"] == 6
    assert one["ess"] == one["hyper_ess"]
    assert two["scored"] == 12
    assert two["ess"] != two["hyper_ess"]


def test_curvature_that_costs_too_much_gives_way_to_r():
    """K = 6, and D = 2 latents: a step is four passes."""
    rws, too_much, within, whatever = estimates(
        methods.rws(),
        methods.rem_curvature(steps=4),
        methods.rem_curvature(steps=1),
        methods.rem_curvature(steps=4, largest_cost=np.inf),
    )
    assert_equal(too_much, rws)
    scored = [value.metrics["scored"] for value in (too_much, within, whatever)]
    assert scored == [6, 4 + 6, 16 + 6]


def test_a_proposal_is_any_function_of_the_draws():
    """r with noise of its own: scored once as both proposals, and besides r as one of them."""
    again = lambda draws: draws.draw(  # noqa: E731
        jax.random.fold_in(draws.key, 7), draws.r, draws.num_particles
    )
    of_r = lambda draws: draws.from_r()  # noqa: E731
    named, mine, both, besides = gradients(
        methods.rws(),
        methods.rem(of_r, from_r),
        methods.rem(again, again),
        methods.rem(from_r, again),
    )
    assert_equal(mine, named)
    assert both[1].metrics["scored"] == 6
    assert besides[1].metrics["scored"] == 12
    assert_equal(both[0].eta, besides[0].eta)
    assert_equal(named[0].theta, besides[0].theta)
    assert both[1].theta_loss != besides[1].theta_loss


def test_an_objective_is_any_sum_of_a_weight_and_a_term():
    """Named ones written out by hand give the same losses and gradients."""
    theta = Sum(Normalized(), lambda joint, r, particle: joint(particle.z))
    eta = Sum(
        lambda posterior, particle: particle.log_w / particle.num_particles,
        lambda joint, r, particle: r.log_prob(particle.z),
    )
    named = dataclasses.replace(methods.rws(), hyperobjective=methods.reinforce.hyperobjective)
    assert_equal(*gradients(Method(theta, from_r, eta, from_r), named, networks=BITS))


def of_half_power(moments, proposal, num_particles):
    """The moments under the square roots of the weights."""
    return moments.mean[1], moments.covariance[1]


@pytest.mark.parametrize("networks", [REAL, BITS], ids=["real", "bits"])
def test_a_covariance_is_any_powers_and_a_function_of_their_moments(networks):
    """One that is written by hand serves as the named one, and another power as another one."""
    by_hand = Covariance((1.0,), lambda moments, *_: (moments.mean[0], moments.covariance[0]))
    covariances = by_hand, weighted(), Covariance((1.0, 0.5), of_half_power)
    mine, named, other = estimates(*map(methods.rem_v2, covariances), networks=networks)
    assert_equal(mine, named)
    assert np.isfinite(other.theta_loss)
    assert other.theta_loss != named.theta_loss


@pytest.mark.parametrize("networks", [REAL, BITS], ids=["real", "bits"])
def test_one_particle_says_nothing_so_s_is_r(networks):
    """For every kind of latent, whatever the covariance: s has the moments of r."""
    model, recognition = networks

    @jax.jit
    def moments(key):
        x, eta = BATCH.x[0], recognition.init(key)
        r = recognition.r(eta, x)
        counts = {"num_particles": 1, "chunk_size": 1, "keep": None}
        draws = Draws(key, model, model.init(key), x, r, **counts)
        each = r, draws.matched(weighted()), draws.matched(shrunk_with_mean())
        return [(one.mean, one.variance) for one in each]

    of_r, *of_s = moments(jax.random.key(0))
    for ours in of_s:
        for value, expected in zip(ours, of_r, strict=True):
            np.testing.assert_allclose(value, expected, rtol=1e-5)


# What is refused

KEEP = {"iwae", "dreg", "rws_dreg", "rem_v1", "rem_dreg", "rem_pooled", "rws", "miwae"}
AVERAGE = {"vae", "vr", "ciwae", "nvil", "vimco", "disarm", "wake_sleep"}


@pytest.mark.parametrize("name", BASIC)
def test_keep_serves_sums_under_the_weights_alone(name):
    method = BASIC[name]
    assert method.keeps == (name in KEEP) or name not in KEEP | AVERAGE
    particles = Particles(10, keep=2)
    if method.keeps:
        make_estimator(*REAL, method, particles)
        return
    with pytest.raises(InputError, match=r"^keep is 2: .* leave keep out$") as refused:
        make_estimator(*REAL, method, particles)
    assert "\n" not in str(refused.value)


def test_keep_serves_no_function_that_counts_particles_without_weight():
    assert Normalized(lambda weight: weight**0.5).keeps
    assert not Normalized(lambda weight: 0.0 * weight + 1.0).keeps


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (
            {"objective": methods.inclusive_kl},
            r"^the objective, w log r\(z\), does not depend on theta, which would never move: ",
        ),
        (
            {"hyperobjective": methods.evidence_lower_bound},
            r"^the hyperobjective, 1/K log p\(x, z\), does not depend on eta, which would never ",
        ),
    ],
)
def test_objectives_that_cannot_serve_are_refused(choices, message):
    method = dataclasses.replace(methods.iwae, **choices)
    with pytest.raises(InputError, match=message):
        inspect.unwrap(make_estimator)(*REAL, method, Particles(3))


@pytest.mark.parametrize(
    ("method", "particles", "message"),
    [
        ("iwae", Particles(3), r"^method is 'iwae', which is no Method: give a value such as "),
        (None, Particles(3), r"^method is None, which is no Method: give a value such as "),
        (methods.iwae, 20, r"^particles is 20: give remjax\.Particles\(50\), say$"),
    ],
)
def test_what_is_no_method_and_no_particles_is_named(method, particles, message):
    with pytest.raises(InputError, match=message):
        inspect.unwrap(make_estimator)(*REAL, method, particles)


def test_a_proposal_that_returns_no_e_step_is_named():
    """As one that was not called."""

    def from_nothing(_draws):
        return from_r

    method = dataclasses.replace(methods.rws(), hyperproposal=from_nothing)
    estimator = make_estimator(*REAL, method, Particles(3))
    with pytest.raises(InputError, match=r"^the proposal from_nothing returns a FromR and no E-st"):
        jax.eval_shape(lambda: estimate(estimator, estimator.init(jax.random.key(0))[0]))


def test_powers_are_finite():
    with pytest.raises(InputError, match=r"^power is nan: give a finite number$"):
        methods.Tempered(float("nan"))


def test_particles_may_be_scored_by_another_density():
    """Scored by the prior alone, particles of the prior weigh alike."""

    def from_prior(draws):
        return draws.draw(
            draws.key, draws.joint.prior, draws.num_particles, scoring=lambda joint: joint.log_prior
        )

    em = methods.expected_complete_log_likelihood
    method = Method(em, from_prior, methods.inclusive_kl, from_prior)
    (found,) = estimates(method)
    np.testing.assert_allclose(found.metrics["ess"], 6.0, rtol=1e-5)
    np.testing.assert_allclose(found.metrics["log_evidence"], 0.0, atol=1e-5)


def test_more_kept_than_a_group_has_is_refused_before_anything_compiles():
    with pytest.raises(InputError, match=r"^keep is 4: .* each of the 5 groups has 2 particles"):
        make_estimator(*REAL, methods.miwae(5), Particles(10, keep=4))


@pytest.mark.parametrize("name", ["vae", "rem_v1", "nvil"])
def test_a_function_that_makes_a_method_is_no_method(name):
    """Without the run-time checks of these tests, which would be first."""
    unchecked = inspect.unwrap(make_estimator)
    with pytest.raises(InputError, match=rf"^method is {name}, .* call it, as {name}\(\)$"):
        unchecked(*REAL, getattr(methods, name), Particles(3))


@pytest.mark.parametrize(
    "counts",
    [{"num_particles": 0}, {"num_particles": 3, "keep": 4}, {"num_particles": 3, "chunk_size": 0}],
)
def test_counts_that_make_no_sense(counts):
    with pytest.raises(InputError, match=r"^(num_particles|keep|chunk_size) is"):
        Particles(**counts)


def no_number(model):
    return model._replace(
        log_likelihood=lambda theta, x, z: model.log_likelihood(theta, x, z)[None]
    )


NO_DISTRIBUTION = Recognition(lambda key: (), lambda eta, x: (x, x))
SOME = ["vae", "iwae", "rem_v1", "rem_pooled", "miwae", "rloo", "nvil", "wake_sleep"]


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize(
    ("networks", "message"),
    [
        (
            (no_number(REAL[0]), REAL[1]),
            r"^log_likelihood\(x, z\) of one particle has the shape \(1,\): it is one number",
        ),
        ((REAL[0], NO_DISTRIBUTION), r"returns a tuple: return a remjax\.Distribution"),
    ],
    ids=["log-likelihood of shape [1]", "no distribution"],
)
def test_networks_of_another_form_are_refused_alike(name, networks, message):
    estimator = make_estimator(*networks, BASIC[name], Particles(10))
    key = jax.random.key(0)

    def first(key):
        params, state = estimator.init(key)
        return estimator.estimate(params, state, key, BATCH)

    with pytest.raises(InputError, match=message):
        jax.eval_shape(first, key)
