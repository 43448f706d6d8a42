"""Tier 3: expected gradients of the estimators of discrete latents, by summing over every tuple.

The estimators are the library's own; only the particles are assigned (`tests.sigmoid_belief`).
"""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from remjax.chains import Chain
from remjax.distributions import Bernoulli
from remjax.estimators import disarm as antithetic
from remjax.estimators.disarm import disarm
from remjax.estimators.nvil import SignalStatistics, nvil, whole_signal
from remjax.estimators.proposals import from_r
from remjax.estimators.rem import rem
from remjax.estimators.score_function import arithmetic_mean, reinforce, rloo, vimco
from remjax.estimators.wake_sleep import rws, wake_sleep
from remjax.types import Params, Recognition
from tests.sigmoid_belief import Assigned, X, assert_equal, expectation, gradient_of, network

ONE_LAYER, TWO_LAYERS = (2,), (2, 1)
LAYERS = pytest.mark.parametrize("sizes", [ONE_LAYER, TWO_LAYERS], ids=["one layer", "two layers"])
TUPLES = [(TWO_LAYERS, 1), (ONE_LAYER, 2), (TWO_LAYERS, 2), (ONE_LAYER, 3)]

# Name: (method, options, fewest particles, of which bound it is the gradient).
ELBO, BOUND = (lambda _: 1), (lambda num_particles: num_particles)
METHODS = {
    "reinforce": (reinforce, {}, 1, ELBO),
    "rloo": (rloo, {}, 2, ELBO),
    "nvil": (nvil, {"lagged": True, "scaling": False}, 1, ELBO),
    "nvil whole": (nvil, {"lagged": True, "scaling": False, "signals": whole_signal}, 1, ELBO),
    "vimco": (vimco, {}, 2, BOUND),
    "vimco arithmetic": (vimco, {"stand_in": arithmetic_mean}, 2, BOUND),
    "rws": (rws, {}, 1, BOUND),
}


def statistics(method, size):
    """What an NVIL that has run for a while remembers."""
    if method is not nvil:
        return ()
    return SignalStatistics(jnp.linspace(-3.0, 1.0, size), jnp.full(size, 4.0), jnp.array(True))


@functools.cache
def expectations(sizes, num_particles):
    """(the exact gradients of -L_1 and -L_K, of rws's claim; each method's expected gradient)."""
    net = network(sizes)
    tuples = net.tuples(num_particles)
    rows_of = {name: row for name, row in METHODS.items() if row[2] <= num_particles}

    @jax.jit
    def run(params, baselines):
        def on_tuple(numbers):
            recognition = net.assigning(net.at(numbers))
            gradients = {}
            for name, (method, options, *_) in rows_of.items():
                estimator = method(net.model, recognition, num_particles=num_particles, **options)
                own = params._replace(baseline=baselines[name])
                state = statistics(method, 1 if "whole" in name else len(sizes))
                gradients[name] = gradient_of(estimator, own, state)._replace(baseline=())
            return gradients

        def wake(eta):
            log_r = net.log_r(eta)
            log_w = jax.lax.stop_gradient(net.log_joint(params.theta) - log_r)[tuples]
            weights = jax.nn.softmax(log_w, axis=1)
            probability = jax.lax.stop_gradient(jnp.exp(jnp.sum(log_r[tuples], axis=1)))
            return -probability @ jnp.sum(weights * log_r[tuples], axis=1)

        exact = {
            count: jax.grad(lambda params, count=count: -net.bound(params, count))(params)
            for count in {1, num_particles}
        }
        probability = jnp.exp(jnp.sum(net.log_r(params.eta)[tuples], axis=1))
        return exact, jax.grad(wake)(params.eta), probability, jax.vmap(on_tuple)(tuples)

    baselines = dict.fromkeys(rows_of, ())
    for name in ("nvil", "nvil whole"):
        estimator = nvil(net.model, net.recognition, num_particles=1, **METHODS[name][1])
        baselines[name] = estimator.init(jax.random.key(1))[0].baseline
    exact, wake, probability, rows = run(net.params, baselines)
    return exact, wake, expectation(probability, rows)


@pytest.mark.parametrize(
    ("name", "sizes", "num_particles"),
    [
        (name, sizes, count)
        for sizes, count in TUPLES
        for name, (_, _, fewest, _) in METHODS.items()
        if name != "rws" and fewest <= count
    ],
)
def test_unbiased_for_the_gradient_of_the_bound(name, num_particles, sizes):
    exact, _, ours = expectations(sizes, num_particles)
    assert_equal(ours[name], exact[METHODS[name][3](num_particles)])


@pytest.mark.parametrize(("sizes", "num_particles"), TUPLES)
def test_rws_gives_theta_the_bound_and_eta_the_weighted_likelihood(num_particles, sizes):
    exact, wake, ours = expectations(sizes, num_particles)
    assert_equal(ours["rws"], Params(exact[num_particles].theta, wake))


def test_bounds_grow_with_the_number_of_particles():
    """Theorem 1 of Burda et al. 2015, exactly: L_1 < L_2 < L_3 < log p(x)."""
    net = network(TWO_LAYERS)

    @jax.jit
    def run(params):
        exact = jax.scipy.special.logsumexp(net.log_joint(params.theta))
        return jnp.stack([*(net.bound(params, count) for count in (1, 2, 3)), exact])

    bounds = run(net.params)
    assert np.all(np.diff(bounds) > 1e-3)


def test_nvil_scales_by_the_running_deviation():
    """v = 4 halves the gradient of eta, and that of theta stays."""
    net = network(ONE_LAYER)
    recognition = net.assigning(net.at(jnp.array([2])))
    plain = nvil(net.model, recognition, num_particles=1, lagged=True, scaling=False)
    scaled = nvil(net.model, recognition, num_particles=1, lagged=True)
    params = net.params._replace(baseline=plain.init(jax.random.key(1))[0].baseline)
    state = statistics(nvil, 1)
    run = jax.jit(lambda params: [gradient_of(each, params, state) for each in (plain, scaled)])
    one, half = run(params)
    halved = jax.tree.map(lambda leaf: leaf / 2, (one.eta, one.baseline))
    assert_equal((half.theta, half.eta, half.baseline), (one.theta, *halved))


@LAYERS
def test_wake_sleep_gives_theta_the_lower_bound_and_eta_the_likelihood_of_dreams(sizes):
    """Every particle with every dream (z, x), each of its own probability."""
    net = network(sizes)
    images = jnp.asarray(list(itertools.product((0.0, 1.0), repeat=len(X))))
    triples = itertools.product(range(net.count), range(net.count), range(len(images)))
    awake, asleep, image = jnp.asarray(np.array(list(triples))).T

    @jax.jit
    def run(params):
        def on_draw(awake, asleep, image):
            dream = (net.at(asleep), images[image])
            model = net.model._replace(sample=lambda theta, key: dream)
            recognition = net.assigning(net.at(awake[None]))
            return gradient_of(wake_sleep(model, recognition, num_particles=1), params)

        log_joint = jax.vmap(lambda x: net.log_joint(params.theta, x), out_axes=1)(images)
        probability = jnp.exp(net.log_r(params.eta)[awake] + log_joint[asleep, image])

        def sleep(eta):
            log_r = jax.vmap(lambda x: net.log_r(eta, x), out_axes=1)(images)
            return -jnp.sum(jnp.exp(log_joint) * log_r)

        theta = jax.grad(lambda params: -net.bound(params, 1))(params).theta
        rows = jax.vmap(on_draw)(awake, asleep, image)
        return Params(theta, jax.grad(sleep)(params.eta)), probability, rows

    claimed, probability, rows = run(net.params)
    assert_equal(expectation(probability, rows), claimed)


def test_rem_of_bits_gives_eta_the_likelihood_weighted_under_s():
    """K = 2: every pair of particles of r, and every pair of the s that was matched to them."""
    net = network(ONE_LAYER)
    pairs = net.tuples(2)
    first, second = np.array(list(itertools.product(range(len(pairs)), repeat=2))).T
    bits = net.configurations[0]

    def matched(weights, plain):
        """log s of every configuration; the means between those of the particles and of r."""
        intensity = 2.0 / (1.0 / jnp.sum(jnp.square(weights[1])) + 2.0)
        mean = (1.0 - intensity) * weights[1] @ weights[0] + intensity * plain
        return jnp.sum(bits * jnp.log(mean) + (1.0 - bits) * jnp.log1p(-mean), axis=1)

    @jax.jit
    def run(params):
        log_r, log_joint = net.log_r(params.eta), net.log_joint(params.theta)

        def on_pairs(of_r, of_s):
            def proposal(draws):
                law = Chain(draws.matched_bits.flat, ())
                return draws.draw(draws.key, Assigned.of(law, net.at(of_s)), 2)

            recognition = net.assigning(net.at(of_r))
            estimator = rem(
                net.model, recognition, num_particles=2, proposal=from_r, hyperproposal=proposal
            )
            plain = net.recognition.distribution(params.eta, X).first.mean
            weights = jax.nn.softmax((log_joint - log_r)[of_r])
            log_s = matched((bits[of_r], weights), plain)
            probability = jnp.exp(jnp.sum(log_r[of_r]) + jnp.sum(log_s[of_s]))
            weights = jax.nn.softmax((log_joint - log_s)[of_s])
            claimed = jax.grad(lambda eta: -weights @ net.log_r(eta)[of_s])(params.eta)
            return probability, gradient_of(estimator, params), claimed

        theta = jax.grad(lambda params: -net.bound(params, 2))(params).theta
        return theta, jax.vmap(on_pairs)(jnp.asarray(pairs)[first], jnp.asarray(pairs)[second])

    theta, (probability, rows, claimed) = run(net.params)
    ours = expectation(probability, rows)
    assert_equal(ours, Params(theta, expectation(probability, claimed)))


# DisARM: every pair of uniform numbers, every draw below the pair's layer and above it


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Told(Bernoulli):
    """Bits whose draw is told."""

    told: jax.Array

    def sample(self, key):
        return self.told


def uniform_of(region, probability):
    """A number by which the pair of bits is (1, 0), alike, or (0, 1)."""
    edge = jnp.minimum(probability, 1.0 - probability)
    return jnp.stack([0.5 * edge, 0.5 + 0.0 * edge, 1.0 - 0.5 * edge])[
        region, jnp.arange(len(edge))
    ]


def mass_of(region, probability):
    edge = jnp.minimum(probability, 1.0 - probability)
    return jnp.prod(jnp.stack([edge, 1.0 - 2.0 * edge, edge])[region, jnp.arange(len(edge))])


def test_disarm_of_one_layer_is_unbiased(monkeypatch):
    net = network(ONE_LAYER)
    regions = jnp.asarray(list(itertools.product(range(3), repeat=2)))

    @jax.jit
    def run(params):
        def on_region(region):
            monkeypatch.setattr(antithetic, "uniforms", lambda _, p: uniform_of(region, p))
            return gradient_of(disarm(net.model, net.recognition, num_particles=2), params)

        probability = net.recognition.distribution(params.eta, X).first.mean
        mass = jax.vmap(mass_of, in_axes=(0, None))(regions, probability)
        exact = jax.grad(lambda params: -net.bound(params, 1))(params)
        return exact, mass, jax.vmap(on_region)(regions)

    exact, mass, rows = run(net.params)
    assert_equal(expectation(mass, rows), exact)


def test_disarm_of_two_layers_is_unbiased(monkeypatch):
    """Pairs of layer 1 with what either partner draws above; a draw below with pairs of layer 2."""
    net = network(TWO_LAYERS)
    of_first = list(itertools.product(range(3), repeat=2))
    above = list(itertools.product((0.0, 1.0), repeat=4))  # layer 2, for each value of layer 1
    below = list(itertools.product((0.0, 1.0), repeat=2))
    every = list(itertools.product(of_first, above, below, range(3)))
    columns = [jnp.asarray(np.array(column, np.float32)) for column in zip(*every, strict=True)]

    @jax.jit
    def run(params):
        chain = net.recognition.distribution(params.eta, X)
        layer_1 = jnp.asarray(below)
        p_2 = jax.vmap(lambda z: chain.conditionals[0](z).mean)(layer_1)[:, 0]

        def number(z):
            return (2 * z[0] + z[1]).astype(int)

        def on_draw(of_first, above, below, of_second):
            def uniforms(_, probability):
                both = of_first.astype(int), of_second.astype(int)[None]
                return uniform_of(both[0] if probability.size == 2 else both[1], probability)

            def distribution(eta, x):
                real = net.recognition.distribution(eta, x)

                def conditional(make, z):
                    return Told(make(z).logits, above[number(z)][None])

                told = Told(real.first.logits, below)
                return Chain(told, (Partial(conditional, real.conditionals[0]),))

            monkeypatch.setattr(antithetic, "uniforms", uniforms)
            recognition = Recognition(net.recognition.init, distribution)
            gradient = gradient_of(disarm(net.model, recognition, num_particles=2), params)
            chosen = p_2[number(below)][None]
            mass = (
                mass_of(of_first.astype(int), chain.first.mean)
                * jnp.prod(jnp.where(above == 1.0, p_2, 1.0 - p_2))
                * jnp.exp(chain.first.log_prob(below))
                * mass_of(of_second.astype(int)[None], chosen)
            )
            return mass, gradient

        exact = jax.grad(lambda params: -net.bound(params, 1))(params)
        return exact, jax.vmap(on_draw)(*columns)

    exact, (mass, rows) = run(net.params)
    assert_equal(expectation(mass, rows), exact)
