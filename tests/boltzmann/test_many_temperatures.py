"""30,000 temperatures in float32 lose less than 0.01 nats, measured against float64."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from remjax.boltzmann import (
    RBM,
    ais,
    data_mean_base,
    linear_inverse_temperatures,
    population_annealing,
)
from remjax.boltzmann.partition import Sum
from tests.boltzmann.machines import normal


def realistic(num_visible=784, num_hidden=16):
    """Weights and means of the size that a machine of binarised digits has."""
    mean = np.clip(np.abs(0.25 * normal(0, num_visible)), 0.0, 0.9)
    weights = 0.4 * normal(1, num_visible, num_hidden)
    bias = np.log(np.clip(mean, 0.01, 0.99) / (1 - np.clip(mean, 0.01, 0.99)))
    parts = (weights, bias - weights.mean(axis=1), -1.0 + 0.5 * normal(2, num_hidden))
    return RBM(*(jnp.asarray(part, jnp.float32) for part in parts)), mean


def test_the_sum_over_30_000_temperatures_is_that_of_float64():
    """The same states, weighed by the library in float32 and by NumPy's formula in float64."""
    machine, mean = realistic()
    path = data_mean_base(machine, mean)
    schedule = jnp.asarray(linear_inverse_temperatures(30_000), jnp.float32)
    with jax.enable_x64(True):
        w, a, b = (jnp.asarray(np.asarray(p), float) for p in (machine.weights, *machine.biases))
        base = [jnp.asarray(np.asarray(p), float) for p in path.base]

        def exact_term(h, start, end):
            """log f_end(h) - log f_start(h) of float64, by the derivative's own formula."""
            h, start, end = h.astype(float), start.astype(float), end.astype(float)
            difference = a + h @ w.T - base[0]
            now, step = base[0] + start * difference, end - start
            visible = jnp.log1p(jax.nn.sigmoid(now) * jnp.expm1(step * difference)).sum(axis=1)
            return step * (h @ (b - base[1])) + visible

        @jax.jit
        def walk(key):
            units = path.draw_base(key, (1,))
            zero = jnp.zeros(1, jnp.float32)

            def step(carry, number):
                units, kept, plain, wide = carry
                start, end = schedule[number], schedule[number + 1]
                ahead = path.ahead(units)
                term = path.log_ratio(units, ahead, start, end)
                wide = wide + exact_term(units.hidden, start, end)
                one = jax.random.fold_in(key, number)
                units = path.sweep_from(one, units, ahead, end)
                return (units, kept.plus(term), plain + term, wide), None

            begin = (units, Sum(zero, zero), zero, jnp.zeros(1))
            return lax.scan(step, begin, jnp.arange(30_000))[0]

        _, kept, plain, wide = walk(jax.random.key(0))
    assert kept.total.dtype == jnp.float32
    assert wide.dtype == jnp.float64
    wide = np.asarray(wide)
    assert np.abs(wide).min() > 50  # there is something to lose
    lost = np.abs(np.asarray(kept.total, float) - wide).max()
    assert lost < 0.01, f"{lost:.4f} nats are lost"
    # A plain sum of float32 numbers would not do: that is what the second part is for.
    assert np.abs(np.asarray(plain, float) - wide).max() > 3 * lost


def test_ais_accumulates_so(key):
    """A machine whose weights no draw changes: 30,000 terms that add up to log Z itself."""
    size = 4
    machine = RBM(jnp.zeros((size, 1)), jnp.asarray(3.0 + normal(3, size)), jnp.asarray([600.0]))
    path = data_mean_base(machine, np.full(size, 0.5))
    path = path.__class__(machine, (path.base[0], jnp.asarray([500.0])))
    record = ais(key, path, linear_inverse_temperatures(30_000), num_chains=1)
    exact = np.logaddexp(0, np.asarray(machine.visible_bias, np.float64)).sum() + 600.0
    np.testing.assert_allclose(record.log_z, exact, atol=2e-4)


def test_population_annealing_accumulates_so(key):
    """The same without resampling, which would begin the sum anew."""
    machine = RBM(jnp.zeros((4, 1)), jnp.asarray(3.0 + normal(3, 4)), jnp.asarray([600.0]))
    path = data_mean_base(machine, np.full(4, 0.5))
    path = path.__class__(machine, (path.base[0], jnp.asarray([500.0])))
    schedule = linear_inverse_temperatures(30_000)
    record = population_annealing(
        key, path, schedule, num_chains=2, num_populations=1, resample_below=0.0
    )
    exact = np.logaddexp(0, np.asarray(machine.visible_bias, np.float64)).sum() + 600.0
    np.testing.assert_allclose(record.log_z, exact, atol=2e-4)
