"""Relaxations against NumPy in float64: distributions, means, gradients, limits, extreme log odds.

Expectations over the uniform number are averages over an even grid of it, and no draws.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from remjax.distributions import (
    Concrete,
    OverlappingExponentials,
    PiecewiseLinear,
    PowerFunction,
    Smooth,
    SpikeAndExponential,
    StraightThrough,
)
from remjax.errors import InputError

LOGITS = np.array([-6.0, -2.0, -0.3, 0.0, 0.8, 3.0, 7.0])
GRID = (np.arange(4096) + 0.5) / 4096
U, L = np.meshgrid(GRID[7::64], LOGITS)
MIXTURES = [
    SpikeAndExponential(),
    SpikeAndExponential(0.3),
    OverlappingExponentials(),
    OverlappingExponentials(0.5),
    PowerFunction(),
    PowerFunction(1.5),
    PowerFunction(300.0),
]
EVERY = [*MIXTURES, PiecewiseLinear(), Concrete(), Concrete(0.4), StraightThrough()]
# Of those above, others of the same kind that are not the defaults.
VARIANTS = {
    SpikeAndExponential(0.3),
    OverlappingExponentials(0.5),
    PowerFunction(1.5),
    PowerFunction(300.0),
    Concrete(0.4),
}
SMOOTH = [one for one in EVERY if isinstance(one, Smooth)]


def named(relaxations):
    return pytest.mark.parametrize(
        "relaxation",
        [
            pytest.param(one, id=str(one), marks=pytest.mark.exhaustive if one in VARIANTS else ())
            for one in relaxations
        ],
    )


def array(value):
    return jnp.asarray(value, jnp.float32)


def distribution_functions(relaxation, logit):
    """P(zeta' <= zeta | bit) for both bits, float64, at the logit of zeta."""
    beta, zeta = relaxation.beta, scipy.special.expit(logit)
    match relaxation:
        case SpikeAndExponential():
            return np.ones_like(zeta), np.expm1(beta * zeta) / np.expm1(beta)
        case OverlappingExponentials():
            whole = -np.expm1(-beta)
            one = (np.exp(beta * (zeta - 1)) - np.exp(-beta)) / whole
            return -np.expm1(-beta * zeta) / whole, one
        case PowerFunction():
            log_zeta, log_rest = -np.logaddexp(0, -logit), -np.logaddexp(0, logit)
            return np.exp(log_zeta / beta), -np.expm1(log_rest / beta)


def inverse(relaxation, uniform, logits):
    """The least zeta at which the mixture's distribution function is 1 - u, by bisection."""
    q = scipy.special.expit(logits)
    low, high = np.full_like(q, -600.0), np.full_like(q, 600.0)
    for _ in range(80):
        middle = 0.5 * (low + high)
        zero, one = distribution_functions(relaxation, middle)
        below = (1 - q) * zero + q * one < 1 - uniform
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return scipy.special.expit(high)


@named([*MIXTURES, OverlappingExponentials(40.0)])
def test_mixtures_invert_their_distribution_function(relaxation):
    zeta = relaxation.relax(array(U), array(L))
    np.testing.assert_allclose(zeta, inverse(relaxation, U, L), atol=2e-6, rtol=2e-5)


def test_the_others_are_their_formulas():
    q, logistic = scipy.special.expit(L), scipy.special.logit(1 - U)
    values = {
        Concrete(2.0): scipy.special.expit(2 * (L + logistic)),
        PiecewiseLinear(3.0): np.clip(0.5 + 0.75 / (q * (1 - q) + 0.01) * (q - U), 0, 1),
        StraightThrough(): np.asarray(q > U, float),
    }
    for relaxation, expected in values.items():
        np.testing.assert_allclose(relaxation.relax(array(U), array(L)), expected, atol=5e-6)


@named(EVERY)
def test_it_is_above_a_half_where_the_bit_is_one(relaxation):
    """The bit of the same uniform; where densities overlap, but for the uniforms in between."""
    bits = array(U) < jax.nn.sigmoid(array(L))
    zeta = np.asarray(relaxation.relax(array(U), array(L)))
    match relaxation:
        case SpikeAndExponential():
            np.testing.assert_array_equal(zeta > 0, bits)
        case OverlappingExponentials() | PowerFunction():
            zero, one = distribution_functions(relaxation, np.array(0.0))
            at_half = (1 - scipy.special.expit(L)) * zero + scipy.special.expit(L) * one
            np.testing.assert_array_equal(zeta > 0.5, 1 - at_half > U)
        case _:
            np.testing.assert_array_equal(zeta > 0.5, bits)


def moments(relaxation, function=lambda zeta: zeta):
    """E[function(zeta)] for LOGITS over the grid, and its gradient in them."""
    grid = array(np.broadcast_to(GRID[:, None], (len(GRID), len(LOGITS))))

    def mean(logits):
        zeta = relaxation.relax(grid, jnp.broadcast_to(logits, grid.shape))
        return jnp.mean(function(zeta), axis=0)

    value, pull = jax.vjp(mean, array(LOGITS))
    return value, pull(jnp.ones(len(LOGITS)))[0]


def mean_given_bits(relaxation):
    """E[zeta | bit] of both bits by their formulas; the Concrete has none."""
    match relaxation:
        case PowerFunction(beta):
            return 1 / (1 + beta), beta / (1 + beta)
        case OverlappingExponentials(beta) | SpikeAndExponential(beta):
            one = 1 / -np.expm1(-beta) - 1 / beta
            return (0.0 if isinstance(relaxation, SpikeAndExponential) else 1 - one), one
    return 0.0, 1.0


@named([one for one in EVERY if not isinstance(one, Concrete)])
def test_means_and_their_gradients(relaxation):
    """Of a linear function the gradient of a sum over bits, by enumeration.

    The grid leaves 1 / 4096 of each kink, and of a step all of it.
    """
    given = mean_given_bits(relaxation)
    q = scipy.special.expit(LOGITS)
    inside = slice(1, 6) if isinstance(relaxation, PiecewiseLinear) else slice(None)
    value, gradient = moments(relaxation)
    expected = (1 - q) * given[0] + q * given[1]
    np.testing.assert_allclose(value[inside], expected[inside], atol=5e-4)
    slope = q * (1 - q) * (given[1] - given[0])
    np.testing.assert_allclose(gradient[inside], slope[inside], atol=2e-2 * slope.max())


@pytest.mark.parametrize(("beta", "stop_slope"), [(3.0, True), (4.0, False)])
def test_the_piecewise_linear_mean_is_exact_between_two_and_98_percent(beta, stop_slope):
    q = np.linspace(0.02, 0.98, 25)
    relaxation = PiecewiseLinear(beta, stop_slope)
    grid = array(np.broadcast_to(GRID[:, None], (len(GRID), len(q))))

    def mean(logits):
        return jnp.mean(relaxation.relax(grid, jnp.broadcast_to(logits, grid.shape)), axis=0)

    value, pull = jax.vjp(mean, array(scipy.special.logit(q)))
    np.testing.assert_allclose(value, q, atol=1e-5)
    gradient = pull(jnp.ones(len(q)))[0]
    # The grid cuts both ends of the ramp within 1 / 4096 of where they are.
    np.testing.assert_allclose(gradient, q * (1 - q), atol=2e-3)


@named([one for one in EVERY if not isinstance(one, StraightThrough)])
def test_the_gradient_of_an_expectation_by_differences(relaxation):
    """d E[zeta^2] / d logits against differences of float64 quadrature over the same grid."""
    gradient = moments(relaxation, jnp.square)[1]

    def expected(logits):
        uniform, logits = np.meshgrid(GRID, logits)
        q = scipy.special.expit(logits)
        match relaxation:
            case Concrete(beta):
                zeta = scipy.special.expit(beta * (logits + scipy.special.logit(1 - uniform)))
            case PiecewiseLinear(beta):
                slope = 0.25 * beta / (q * (1 - q) + 0.01)
                zeta = np.clip(0.5 + slope * (q - uniform), 0, 1)
            case _:
                zeta = inverse(relaxation, uniform, logits)
        return np.mean(zeta**2, axis=1)

    width = 0.02
    slope = (expected(LOGITS + width) - expected(LOGITS - width)) / (2 * width)
    # A kink between two points of the grid, and differences of width 0.04.
    np.testing.assert_allclose(gradient, slope, atol=0.02 * np.abs(slope).max())


@named(SMOOTH)
def test_densities_are_the_slopes_of_distribution_functions(relaxation):
    """d zeta / du = -1 / q(zeta), by differences of the inverse in float64 where it is smooth."""
    uniform, logits = np.meshgrid(np.linspace(0.113, 0.887, 9), LOGITS[1:6])

    def zeta(uniform):
        if isinstance(relaxation, Concrete):
            beta = relaxation.inverse_temperature
            return scipy.special.expit(beta * (logits + scipy.special.logit(1 - uniform)))
        return inverse(relaxation, uniform, logits)

    value, width = zeta(uniform), 1e-7
    slope = (zeta(uniform - width) - zeta(uniform + width)) / (2 * width)
    seen = (value > 1e-6) & (value < 1 - 1e-6)
    density = np.asarray(relaxation.log_density(array(value), array(logits)))
    assert seen.any()
    assert np.isfinite(density).all()
    # What float32 leaves of 1 - zeta is 6e-8 of 1e-6.
    np.testing.assert_allclose(density[seen], -np.log(slope[seen]), atol=0.05)


@pytest.mark.parametrize(
    "make",
    [PiecewiseLinear, Concrete, SpikeAndExponential, OverlappingExponentials, PowerFunction],
)
def test_the_limit_is_bits(make):
    """At beta 1000 but for uniforms near q, where the steps are."""
    zeta = make(1000.0).relax(array(U), array(L))
    q = scipy.special.expit(L)
    away = np.abs(U - q) > 5e-3
    np.testing.assert_allclose(np.asarray(zeta)[away], (q > U)[away], atol=1e-2)


HOSTILE_LOGITS = [-1e3, -104, -88, -50, -17, -3, 0, 0.1, 17, 50, 88, 104, 1e3]
HOSTILE_UNIFORM = [0.0, 2**-23, 1e-4, 0.5, 1 - 1e-5, 1 - 2**-24]
HOSTILE = [
    make(beta)
    for make in (PiecewiseLinear, Concrete, SpikeAndExponential, OverlappingExponentials)
    for beta in (0.01, 60.0, 1e6)
] + [PowerFunction(1.001), PowerFunction(30.0), PowerFunction(1e6), StraightThrough()]


@named(HOSTILE)
def test_everything_is_finite_on_hostile_input(relaxation):
    uniform, logits = map(array, np.meshgrid(HOSTILE_UNIFORM, HOSTILE_LOGITS))
    zeta = relaxation.relax(uniform, logits)
    gradient = jax.grad(lambda logits: jnp.sum(relaxation.relax(uniform, logits)))(logits)
    assert np.isfinite(zeta).all()
    assert np.isfinite(gradient).all()
    assert np.min(zeta) >= 0.0
    assert np.max(zeta) <= 1.0
    # Rounding may leave a slope of either sign where it is zero.
    assert np.min(gradient) > -1e-4
    if isinstance(relaxation, Smooth):
        density = jax.value_and_grad(
            lambda zeta, logits: jnp.sum(relaxation.log_density(zeta, logits)), argnums=(0, 1)
        )
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(density(zeta, logits)))


def test_no_gradient_reaches_the_uniform_numbers():
    for relaxation in EVERY:
        gradient = jax.grad(lambda u, of=relaxation: jnp.sum(of.relax(u, array(L))))(array(U))
        np.testing.assert_array_equal(gradient, np.zeros_like(U))


def test_a_slope_that_is_held_moves_only_the_gradient():
    free, held = PiecewiseLinear(), PiecewiseLinear(stop_slope=True)
    np.testing.assert_array_equal(free.relax(array(U), array(L)), held.relax(array(U), array(L)))
    of_free, of_held = (moments(one, jnp.square)[1] for one in (free, held))
    assert np.abs(of_free - of_held).max() > 1e-2


def test_they_print_as_what_they_are():
    assert [
        str(one) for one in (PiecewiseLinear(stop_slope=True), Concrete(), PowerFunction())
    ] == [
        "piece-wise linear(beta 4, slope held)",
        "Concrete(inverse temperature 10)",
        "power function(beta 30)",
    ]
    assert PiecewiseLinear() == PiecewiseLinear(4.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PiecewiseLinear(0.0), r"^beta is 0\.0: give a finite number above 0$"),
        (lambda: Concrete(-1.0), r"^inverse_temperature is -1\.0: give a finite number above 0$"),
        (lambda: OverlappingExponentials(np.inf), r"^beta is inf: give a finite number above 0$"),
        (lambda: SpikeAndExponential(np.nan), r"^beta is nan: give a finite number above 0$"),
        (lambda: PowerFunction(1.0), r"^beta is 1\.0: give a finite number above 1$"),
    ],
)
def test_wrong_steepness_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("beta", [1e-12, 1e-6, 1e-3, 0.3, 0.999])
def test_a_small_beta_keeps_its_digits(beta):
    """Near beta 0 the densities are flat: values and gradients against float64, by its series."""
    uniform, logits = (leaf.ravel() for leaf in np.meshgrid(GRID[5::97], [-4.0, -0.5, 0.0, 2.0]))
    q = scipy.special.expit(logits)

    def found(relaxation):
        value, pull = jax.vjp(lambda x: relaxation.relax(array(uniform), x), array(logits))
        return value, pull(jnp.ones(len(logits)))[0]

    # Those of the mixture: zeta = (1 - u) + beta (1 - 2 q) zeta (1 - zeta) / 2 to first order.
    value, slope = found(OverlappingExponentials(beta))
    tolerance = 2e-6 + beta**2
    flat = 1 - uniform
    first = flat - 0.5 * beta * (1 - 2 * q) * flat * (1 - flat)
    np.testing.assert_allclose(value, first, atol=tolerance)
    np.testing.assert_allclose(slope, beta * flat * (1 - flat) * q * (1 - q), atol=tolerance)

    if beta > 1e-2:
        relaxation, width = OverlappingExponentials(beta), 1e-3
        exact = [inverse(relaxation, uniform, logits + add) for add in (-width, 0.0, width)]
        np.testing.assert_allclose(value, exact[1], atol=2e-6)
        np.testing.assert_allclose(slope, (exact[2] - exact[0]) / (2 * width), atol=1e-5)

    value, slope = found(SpikeAndExponential(beta))
    share = uniform / q
    one = share < 1 - 1e-6
    exact = 1 + np.log1p(np.expm1(-beta) * share[one]) / beta
    of_share = np.expm1(-beta) / (1 + np.expm1(-beta) * share[one]) / beta
    np.testing.assert_allclose(value[one], exact, atol=2e-6)
    np.testing.assert_allclose(
        slope[one], of_share * -share[one] * (1 - q[one]), rtol=1e-4, atol=1e-5
    )
