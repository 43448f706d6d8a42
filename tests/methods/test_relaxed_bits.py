"""Which methods may see relaxed bits: those with a gradient along the draws, and no others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.run.methods import WITH_RECOGNITION
from remjax import bernoulli_likelihood, make_estimator
from remjax.boltzmann import RBM, EnumeratedMachine, UndirectedPosterior
from remjax.distributions import Groups, PiecewiseLinear, RelaxedBernoulli
from remjax.errors import InputError
from remjax.methods import Particles, dvae, warm_up, with_dreams
from remjax.models import gaussian_model
from remjax.particles.covariances import MeanVariance
from remjax.particles.curvature import curvature
from remjax.types import Batch, Recognition
from tests.bits_in_one_vector import networks_of_bits

MEAN = np.full(4, 0.4)
MODEL, RELAXED = networks_of_bits(bernoulli_likelihood(MEAN), MEAN, 4, relaxation=PiecewiseLinear())
BATCH = Batch(jnp.ones((2, 4)), jnp.arange(2))
ALONG_DRAWS = {
    *("vae", "iwae", "miwae", "piwae", "ciwae", "vr", "dreg", "stl", "rws_dreg", "dvae"),
}


def traced(method, recognition=RELAXED):
    """An update, traced and not compiled."""
    # So many that curvature costs less than it may, and no fewer than any method needs.
    estimator = make_estimator(MODEL, recognition, method, Particles(20))
    params, state = jax.eval_shape(estimator.init, jax.random.key(0))
    jax.eval_shape(estimator.estimate, params, state, jax.random.key(0), BATCH)


@pytest.mark.parametrize("name", WITH_RECOGNITION.methods)
def test_a_method_takes_relaxed_bits_or_says_so(name):
    method = WITH_RECOGNITION.default_of(name)
    assert method.serves_relaxed == (name in ALONG_DRAWS)
    if method.serves_relaxed:
        traced(method)
        return
    with pytest.raises(InputError, match="relaxed bits have no density, only a gradient along"):
        traced(method)


def test_what_is_added_to_a_method_leaves_it_what_it_is():
    """Dreams are bits, of which log r is exact."""
    for method in (warm_up(dvae, 5), with_dreams(dvae, 0.5)):
        assert method.serves_relaxed
        traced(method)


MACHINE = RBM(jnp.ones((2, 2)), jnp.zeros(2), jnp.zeros(2))
BITS = {
    "independent": RelaxedBernoulli(jnp.zeros(4), PiecewiseLinear()),
    "groups": Groups(RelaxedBernoulli(jnp.zeros(4), PiecewiseLinear()), ()),
    "a machine summed over": EnumeratedMachine(MACHINE, PiecewiseLinear()),
    "a machine": UndirectedPosterior(MACHINE, PiecewiseLinear()),
}


@pytest.mark.parametrize("name", BITS)
def test_each_kind_of_relaxed_bits_says_what_it_is(name):
    relaxed = BITS[name]
    assert (relaxed.is_relaxed, relaxed.is_discrete) == (True, False)
    assert (relaxed.hard().is_relaxed, relaxed.hard().is_discrete) == (False, True)
    recognition = Recognition(lambda key: (), lambda eta, x: relaxed)
    with pytest.raises(InputError, match="relaxed bits have no density"):
        traced(WITH_RECOGNITION.default_of("rem_v1"), recognition)


@pytest.mark.parametrize("name", BITS)
def test_curvature_is_of_real_numbers(name):
    model = gaussian_model(bernoulli_likelihood(MEAN), latent_size=4, hidden_sizes=(3,))
    joint = model.joint(model.init(jax.random.key(0)), jnp.ones(4))
    own = MeanVariance(jnp.zeros(4), jnp.ones(4))
    with pytest.raises(InputError, match="those of r are relaxed bits"):
        curvature(jax.random.key(0), joint, BITS[name], own, 1)
