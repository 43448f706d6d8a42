"""The E-step and the sums over its particles, against one-shot NumPy float64 and plain JAX."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from remjax.distributions import DiagonalGaussian
from remjax.distributions.mixtures import Balanced
from remjax.errors import InputError
from remjax.particles.chunks import balanced_chunks
from remjax.particles.e_step import e_step, log_weights
from remjax.particles.particle_sum import particle_sum
from remjax.particles.posterior import Particle
from tests import linear_gaussian

K = 10
TRUTH = linear_gaussian.example()
MODEL = linear_gaussian.model(TRUTH)
X = jnp.asarray(TRUTH.sample(0, 1)[0], jnp.float32)
R = DiagonalGaussian(jnp.array([0.3, -0.2]), jnp.array([0.8, 1.3]))


def exact_log_w(z, r=R):
    """log p(x, z) - log r(z) in float64, for particles [K, D]."""
    x, z = np.asarray(X, np.float64), np.asarray(z, np.float64)

    def normal(value, mean, scale):
        return np.sum(-0.5 * ((value - mean) / scale) ** 2 - np.log(scale * np.sqrt(2 * np.pi)), -1)

    loc, scale = np.asarray(r.loc, np.float64), np.asarray(r.scale, np.float64)
    likelihood = normal(x, z @ TRUTH.weight.T + TRUTH.bias, TRUTH.scale * np.ones_like(x))
    return normal(z, 0.0, np.ones(2)) + likelihood - normal(z, loc, scale)


def summands(theta, r, particle):
    """A weighted sum at fixed z, a pathwise one through r, and an unweighted one."""
    joint = MODEL.joint(theta, X)
    moving = r.rsample(particle.noise)
    return (
        particle.weight * joint(particle.z),
        particle.weight * (joint(moving) - r.log_prob(moving)),
        joint(particle.z) / particle.num_particles,
    )


@functools.partial(jax.jit, static_argnames=("keep", "chunk_size", "num_particles"))
def streamed(key, keep, chunk_size, num_particles=K):
    """(posterior, the three sums, their gradients in theta and r) by e_step and particle_sum."""

    def sums(theta, eta):
        joint, r = MODEL.joint(theta, X), DiagonalGaussian(*eta)
        posterior = e_step(key, joint, R, num_particles, chunk_size=chunk_size, keep=keep)
        totals = particle_sum(posterior, joint, lambda p: summands(theta, r, p))
        return jnp.stack(totals), (posterior, totals)

    differentiate = jax.jacrev(sums, argnums=(0, 1), has_aux=True)
    gradient, (posterior, totals) = differentiate(TRUTH.theta, (R.loc, R.scale))
    return posterior, totals, gradient


@jax.jit
def one_shot(key, z):
    """The same sums and gradients over particles [K, D], written down at once."""
    keys = jax.vmap(lambda k: R.particle(key, k)[1])(jnp.arange(len(z)))

    def sums(theta, eta):
        joint, r = MODEL.joint(theta, X), DiagonalGaussian(*eta)
        log_w = jax.vmap(joint)(z) - jax.vmap(R.log_prob)(z)
        weights = jax.lax.stop_gradient(jax.nn.softmax(log_w))
        moving = jax.vmap(r.rsample)(keys)
        pathwise = jax.vmap(joint)(moving) - jax.vmap(r.log_prob)(moving)
        totals = weights @ jax.vmap(joint)(z), weights @ pathwise, jnp.mean(jax.vmap(joint)(z))
        return jnp.stack(totals), totals

    differentiate = jax.jacrev(sums, argnums=(0, 1), has_aux=True)
    gradient, totals = differentiate(TRUTH.theta, (R.loc, R.scale))
    return totals, gradient


@jax.jit
@jax.vmap
def every_particle_takes_part(key):
    """The sums and their gradients without `keep`, of many keys."""
    return streamed(key, None, 3)[1:]


def particles_of(posterior, count=K):
    return jax.vmap(lambda k: R.particle(posterior.key, k)[0])(jnp.arange(count))


@pytest.mark.parametrize(
    "chunk_size",
    [3, K, *(pytest.param(size, marks=pytest.mark.exhaustive) for size in (1, 7, 2 * K))],
)
def test_summary_sums_and_gradients_do_not_depend_on_chunks(chunk_size, key):
    posterior, totals, gradient = streamed(key, None, chunk_size)
    z = particles_of(posterior)
    log_w = exact_log_w(z)
    weights, wide = scipy.special.softmax(log_w), np.asarray(z, np.float64)
    mean = weights @ wide
    evidence = scipy.special.logsumexp(log_w) - np.log(K)
    np.testing.assert_allclose(posterior.log_evidence, evidence, rtol=1e-5)
    np.testing.assert_allclose(posterior.ess, 1 / np.sum(weights**2), rtol=1e-4)
    np.testing.assert_allclose(posterior.mean, mean, rtol=1e-4, atol=1e-5)
    covariance = (wide - mean).T @ np.diag(weights) @ (wide - mean)
    np.testing.assert_allclose(posterior.covariance, covariance, rtol=1e-4, atol=1e-5)
    expected = one_shot(posterior.key, z)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=3e-5, atol=1e-5),
        (totals, gradient),
        expected,
    )


@pytest.mark.parametrize("keep", [pytest.param(1, marks=pytest.mark.exhaustive), 3])
def test_kept_particles_stand_for_all_without_bias(keep):
    """4,000 keys, the same particles with and without `keep`; five standard errors of the pairs."""

    @jax.jit
    @jax.vmap
    def run(key):
        posterior, *sums = streamed(key, keep, 4)
        expected = particles_of(posterior)[posterior.kept.index]
        return posterior.weights, posterior.particles - expected, tuple(sums)

    keys = jax.random.split(jax.random.key(1), 4000)
    weights, wrong, kept = run(keys)
    full = every_particle_takes_part(keys)
    differences = jax.tree.map(lambda a, b: np.asarray(a, np.float64) - b, kept, full)
    spread = 0.0
    for difference in jax.tree.leaves(differences):
        bound = 5 * difference.std(axis=0) / np.sqrt(4000) + 1e-5
        assert np.all(np.abs(difference.mean(axis=0)) <= bound)
        spread = max(spread, difference.std(axis=0).max())
    assert spread > 1e-2
    # What is kept are particles of the stream, and their weights sum to one.
    assert weights.shape == (4000, keep)
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(wrong, 0.0, atol=1e-5)


def test_nothing_is_kept_apart_when_all_take_part(key):
    posterior = streamed(key, None, 3)[0]
    assert posterior.particles is None
    assert posterior.weights is None


def test_log_weights_are_those_of_the_e_step(key):
    joint = MODEL.joint(TRUTH.theta, X)
    log_w = jax.jit(lambda key: log_weights(key, joint, R, K, chunk_size=3))(key)
    posterior = streamed(key, None, 3)[0]
    np.testing.assert_allclose(log_w, exact_log_w(particles_of(posterior)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("spread", [1.0, 3000.0])
def test_each_particle_is_told_from_the_others(spread, key):
    """Leave-one-out sums and tempered weights, also where they span 10,000 nats, in float64."""

    def joint(z):
        return spread * z[0]

    @jax.jit
    def run(key):
        powers = (1.0, 0.3, -0.5, 0.0)
        posterior = e_step(key, joint, R, K, chunk_size=3, powers=powers)

        def of_one(log_w):
            particle = Particle(jnp.zeros(2), key, jnp.zeros(()), log_w, K)
            tempered = jnp.stack([posterior.tempered(particle, power) for power in powers])
            return posterior.log_total_of_others(particle), tempered

        log_w = log_weights(key, joint, R, K)
        return log_w, posterior.moments, *jax.vmap(of_one)(log_w)

    log_w, moments, others, tempered = run(key)
    log_w = np.asarray(log_w, np.float64)
    assert np.ptp(log_w) > 2.0 * spread
    rest = [scipy.special.logsumexp(np.delete(log_w, k)) for k in range(K)]
    np.testing.assert_allclose(others, rest, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(moments.log_sum[0], log_w.sum(), rtol=1e-6)
    for place, power in enumerate((1.0, 0.3, -0.5)):
        expected = scipy.special.softmax(power * log_w)
        np.testing.assert_allclose(tempered[:, place], expected, rtol=3e-3, atol=1e-6)
        np.testing.assert_allclose(moments.mean_log_w[place], expected @ log_w, rtol=1e-4)
    np.testing.assert_allclose(moments.mean_log_w[3], log_w.mean(), rtol=1e-4)
    np.testing.assert_allclose(tempered[:, 3], 1.0 / K, rtol=1e-6)


@pytest.mark.parametrize("count", [1, 3])
def test_impossible_others(count, key):
    """None possible, or no others at all: -inf and no NaN on the way."""

    @jax.jit
    def others(key):
        posterior = e_step(key, lambda z: -jnp.inf + 0.0 * z[0], R, count, chunk_size=2)
        particle = Particle(jnp.zeros(2), key, jnp.zeros(()), jnp.array(-jnp.inf), count)
        alone = e_step(key, lambda z: z[0], R, 1)
        one = particle._replace(log_w=alone.log_evidence)
        with pytest.raises(InputError, match=r"under the power 0\.3"):
            alone.tempered(one, 0.3)
        return posterior.log_total_of_others(particle), alone.log_total_of_others(one)

    with jax.debug_nans(True):
        assert others(key) == (-jnp.inf, -jnp.inf)


def test_scores_recorded_for_r_serve_the_mixture(key):
    joint, count = MODEL.joint(TRUTH.theta, X), 7
    mixture = Balanced(R, DiagonalGaussian(jnp.ones(2), jnp.ones(2)))

    @jax.jit
    def run(key):
        first = e_step(key, joint, R, count, chunk_size=3, record=True).log_joints
        known = e_step(key, joint, mixture, 2 * count, chunk_size=3, known=first)
        again = e_step(key, joint, mixture, 2 * count, chunk_size=64)
        return first, known.moments, again.moments

    first, known, again = run(key)
    assert first.shape == (count,)
    for value, expected in zip(known, again, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("keep", [None, 3])
def test_no_gradient_leaks_out_of_the_e_step(keep, key):
    def everything(theta, r):
        posterior = e_step(key, MODEL.joint(theta, X), r, K, chunk_size=4, keep=keep)
        leaves = [
            leaf for leaf in jax.tree.leaves(posterior) if jnp.result_type(leaf) == jnp.float32
        ]
        return sum(jnp.sum(leaf) for leaf in leaves)

    gradient = jax.jit(jax.grad(everything, argnums=(0, 1)))(TRUTH.theta, R)
    for leaf in jax.tree.leaves(gradient):
        np.testing.assert_array_equal(leaf, np.zeros_like(leaf))


@functools.partial(jax.jit, static_argnames="keep")
def behind_a_wall(key, keep, wall):
    """(posterior, a weighted sum, its gradient) where z_0 below the wall is impossible."""

    def joint_of(scale):
        return lambda z: jnp.where(z[0] > wall, -scale * jnp.sum(jnp.square(z)), -jnp.inf)

    posterior = e_step(key, joint_of(2.0), R, K, chunk_size=4, keep=keep)

    def total(scale):
        joint = joint_of(scale)
        return particle_sum(
            posterior, joint, lambda p: jnp.where(p.weight > 0, p.weight * joint(p.z), 0.0)
        )

    return posterior, *jax.value_and_grad(total)(2.0)


@pytest.mark.parametrize("keep", [None, 3])
@pytest.mark.parametrize("wall", [0.3, 1e6])
def test_impossible_particles(keep, wall, key):
    """Some particles are impossible, or (at 1e6) all."""
    with jax.debug_nans(True):
        posterior, value, gradient = behind_a_wall(key, keep, wall)
    z = np.asarray(particles_of(posterior), np.float64)
    possible = z[:, 0] > wall
    assert 0 < possible.sum() < K or wall == 1e6
    if wall == 1e6:
        assert posterior.log_evidence == -np.inf
        assert posterior.ess == 0.0
        assert value == 0.0
        assert gradient == 0.0
        np.testing.assert_array_equal(posterior.mean, np.zeros(2))
        assert keep is None or np.all(posterior.weights == 0.0)
        return
    square = np.sum(z[possible] ** 2, axis=1)
    log_w = -2.0 * square - np.asarray(jax.vmap(R.log_prob)(jnp.asarray(z[possible], jnp.float32)))
    evidence = scipy.special.logsumexp(log_w) - np.log(K)
    np.testing.assert_allclose(posterior.log_evidence, evidence, rtol=1e-5)
    if keep is None:
        np.testing.assert_allclose(gradient, -scipy.special.softmax(log_w) @ square, rtol=1e-5)
    else:
        assert np.all(posterior.kept.z[posterior.weights > 0, 0] > wall)


def test_nan_is_not_hidden(key):
    posterior = jax.jit(lambda key: e_step(key, lambda z: z[0] * jnp.nan, R, K))(key)
    for value in (posterior.log_evidence, posterior.ess, posterior.mean, posterior.covariance):
        assert np.all(np.isnan(value))


@pytest.mark.parametrize(
    ("counts", "named"),
    [
        ({"num_particles": 0}, "num_particles is 0"),
        ({"num_particles": 5, "chunk_size": 0}, "chunk_size is 0"),
        ({"num_particles": 5, "keep": 0}, "keep is 0"),
        ({"num_particles": 5, "keep": 6}, "keep is 6"),
    ],
)
def test_counts_that_make_no_sense(counts, named, key):
    with pytest.raises(InputError, match=named):
        e_step(key, jnp.sum, R, **counts)


@pytest.mark.parametrize(("count", "chunk"), [(1, 64), (64, 64), (65, 64), (1000, 64), (7, 3)])
def test_balanced_chunks(count, chunk):
    chunks, size = balanced_chunks(count, chunk)
    assert size <= chunk
    assert chunks * size >= count
    assert (chunks - 1) * size < count


def test_log_joint_that_is_no_number(key):
    with pytest.raises(InputError, match=r"has the shape \(2,\): it is one number"):
        jax.eval_shape(lambda key: e_step(key, lambda z: z, R, 5), key)
