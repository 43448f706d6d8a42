"""log Z from both sides: the bridge, brackets measured in one call, records put together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.special

from remjax import boltzmann
from remjax.boltzmann.partition import from_forward, from_reverse
from remjax.errors import InputError
from tests.boltzmann import machines
from tests.boltzmann.refusals import assert_refused, every

MACHINE = machines.rbm()
EXACT = float(boltzmann.log_partition(MACHINE))
PATH = boltzmann.bias_base(MACHINE)
SCHEDULE = boltzmann.linear_inverse_temperatures(30)


def measured(key, **options):
    """The bracket of the machine, from chains that begin at rows of ones."""
    starts = boltzmann.init(key, MACHINE, 400, np.ones((3, 5)))
    options = {"num_chains": 400, "burn_in": 200} | options
    return boltzmann.measure_bracket(key, PATH, SCHEDULE, starts, **options)


def test_measured_bracket_holds_log_z():
    """Each side within its error, the bridge of a smaller error than either."""
    found = measured(jax.random.key(0))
    for side in (found.lower, found.upper):
        assert abs(side.log_z - EXACT) < machines.SIGMAS * side.stderr
        assert found.stderr < side.stderr
    assert abs(found.log_z - EXACT) < machines.SIGMAS * found.stderr
    np.testing.assert_allclose(found.gap, found.upper.log_z - found.lower.log_z)


def test_reverse_chains_begin_where_the_long_ones_ended():
    """Chains of one sweep from rows of ones are no samples: the upper side errs, and shows it."""
    short, long = measured(jax.random.key(1), burn_in=1), measured(jax.random.key(1))
    assert abs(short.upper.log_z - EXACT) > abs(long.upper.log_z - EXACT)


def test_measured_bracket_refuses_no_sweeps():
    with pytest.raises(InputError, match="burn_in is 0: give 1 or more"):
        measured(jax.random.key(0), burn_in=0)


def test_bridge_solves_the_equation_of_bennett():
    """Against a root finder in float64, with different numbers of chains."""
    forward = 3.0 + machines.normal(0, 50)
    reverse = 3.5 + machines.normal(1, 20)
    records = from_forward(jnp.asarray(forward), None), from_reverse(jnp.asarray(reverse), None)
    shift = np.log(50 / 20)

    def excess(log_z):
        f, r = np.float64(forward), np.float64(reverse)
        of_forward = scipy.special.expit(f - log_z - shift).sum()
        return of_forward - scipy.special.expit(log_z - r + shift).sum()

    expected = scipy.optimize.brentq(excess, -10.0, 10.0)
    np.testing.assert_allclose(boltzmann.bracket(*records).log_z, expected, atol=1e-5)


@pytest.mark.parametrize("reverse", [False, True])
def test_joined_records_are_those_of_all_chains(reverse):
    """The estimate of all log weights together, by NumPy; the chains one after the other."""
    key = jax.random.key(2)
    samples = boltzmann.exact_samples(key, MACHINE, 30)

    def record(number, size):
        one = jax.random.fold_in(key, number)
        if not reverse:
            return boltzmann.ais(one, PATH, SCHEDULE, num_chains=size)
        some = jax.tree.map(lambda leaf: leaf[:size], samples)
        return boltzmann.reverse_ais(one, PATH, SCHEDULE, some)

    parts = [record(0, 20), record(1, 30)]
    whole = boltzmann.joined(parts)
    assert type(whole) is type(parts[0])
    log_w = np.concatenate([np.float64(part.log_weights) for part in parts])
    sign = -1.0 if reverse else 1.0
    expected = sign * (scipy.special.logsumexp(sign * log_w) - np.log(50))
    np.testing.assert_allclose(whole.log_z, expected, rtol=1e-5)
    relative = np.exp(sign * log_w) / np.exp(sign * log_w).mean()
    np.testing.assert_allclose(whole.stderr, relative.std(ddof=1) / np.sqrt(50), rtol=1e-3)
    np.testing.assert_array_equal(whole.samples.visible[20:], parts[1].samples.visible)


def of_chains(record, count=3, width=5):
    """A record of so many chains, of units of that width."""
    return record(jnp.zeros(count), jnp.zeros((count, width)))


FORWARD, REVERSE = of_chains(from_forward), of_chains(from_reverse)
ENUMERATED = boltzmann.exact(MACHINE)
BRACKET = "a bracket of {} cannot be: give the record of ais, and after it that of reverse_ais"
JOINED = "records of {} are not put together: give one or more, all of ais or all of reverse_ais"
WRONG = {
    "reverse before forward": (
        lambda: boltzmann.bracket(REVERSE, FORWARD),
        BRACKET.format("ReverseChains and ForwardChains"),
    ),
    "forward twice": (
        lambda: boltzmann.bracket(FORWARD, FORWARD),
        BRACKET.format("ForwardChains and ForwardChains"),
    ),
    "exact twice": (
        lambda: boltzmann.bracket(ENUMERATED, ENUMERATED),
        BRACKET.format("LogPartition and LogPartition"),
    ),
    "a population for forward chains": (
        lambda: boltzmann.bracket(population(), REVERSE),
        BRACKET.format("LogPartition and ReverseChains"),
    ),
    "a number": (
        lambda: boltzmann.bracket(FORWARD, 3.0),
        BRACKET.format("ForwardChains and float"),
    ),
    "two machines": (
        lambda: boltzmann.bracket(FORWARD, of_chains(from_reverse, width=4)),
        "the records are of different machines, with units of the shapes [(5,)], [(4,)]: give",
    ),
    "many runs at once": (
        lambda: boltzmann.bracket(
            FORWARD._replace(log_weights=jnp.zeros((2, 3))),
            REVERSE._replace(log_weights=jnp.zeros((2, 3))),
        ),
        "log weights of the shapes [(2, 3), (2, 3)]: give records of one run each, [C]",
    ),
    "nothing joined": (lambda: boltzmann.joined([]), JOINED.format("nothing")),
    "exact ones joined": (
        lambda: boltzmann.joined([ENUMERATED, ENUMERATED]),
        JOINED.format("LogPartition"),
    ),
    "populations joined": (
        lambda: boltzmann.joined([population(), population()]),
        JOINED.format("LogPartition"),
    ),
    "both directions joined": (
        lambda: boltzmann.joined([FORWARD, REVERSE]),
        JOINED.format("ForwardChains and ReverseChains"),
    ),
    "machines joined": (
        lambda: boltzmann.joined([FORWARD, of_chains(from_forward, width=4)]),
        "the records are of different machines, with units of the shapes [(5,)], [(4,)]: give",
    ),
}


def population():
    return boltzmann.population_annealing(
        jax.random.key(0), PATH, SCHEDULE, num_chains=4, num_populations=2
    )


@every(WRONG)
def test_wrong_records_are_one_line(wrong, message):
    assert_refused(wrong, message)


def test_records_keep_their_kind_through_transformations():
    """So that runs within jit and vmap, which give trees back, are known for what they are."""
    runs = jax.vmap(lambda key: boltzmann.ais(key, PATH, SCHEDULE, num_chains=4))
    found = jax.jit(runs)(jax.random.split(jax.random.key(0), 2))
    one = jax.tree.map(lambda leaf: leaf[0], found)
    assert isinstance(one, boltzmann.LogPartition)
    assert type(boltzmann.joined([one, one._replace(stderr=jnp.zeros(()))])) is type(FORWARD)
