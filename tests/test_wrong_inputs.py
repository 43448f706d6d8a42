"""What a user gets wrong is one clear line, the same wherever it enters."""

import collections

import jax
import numpy as np
import pytest

from remjax.errors import InputError
from remjax.evaluation import (
    Annealing,
    latent_use,
    log_likelihood,
    make_annealed_log_likelihood,
)
from remjax.methods import Particles, iwae, make_estimator
from remjax.models import bernoulli_likelihood, gaussian_model, gaussian_recognition
from remjax.training import adam, init_train_state, make_epoch
from remjax.types import Params

SIZES = {"latent_size": 2, "hidden_sizes": (3,)}
MEAN = np.full(4, 0.5)
MODEL = gaussian_model(bernoulli_likelihood(MEAN), **SIZES)
RECOGNITION = gaussian_recognition(MEAN, **SIZES)
PARAMS = Params(MODEL.init(jax.random.key(0)), RECOGNITION.init(jax.random.key(1)))
BITS = np.random.default_rng(0).integers(0, 2, (6, 4)).astype(np.float32)


def train(model, recognition, x):
    optimizer = adam(1e-3)
    estimator = make_estimator(model, recognition, iwae, Particles(2))
    state = init_train_state(estimator, optimizer, jax.random.key(0), BITS)
    make_epoch(estimator, optimizer, num_data=len(x), batch_size=2)(state, x, 1)


def begin(model, recognition, x):
    estimator = make_estimator(model, recognition, iwae, Particles(2))
    init_train_state(estimator, adam(1e-3), jax.random.key(0), x)


def evaluate(model, recognition, x):
    log_likelihood(model, recognition, PARAMS, jax.random.key(0), x, num_particles=2)


def use(model, recognition, x):
    latent_use(model, recognition, PARAMS, jax.random.key(0), x, num_samples=2)


def anneal(model, recognition, x):
    short = Annealing(num_steps=2, num_chains=2, num_leapfrog=1)
    make_annealed_log_likelihood(model, recognition, short)(PARAMS, jax.random.key(0), x)


def every(*entries):
    return pytest.mark.parametrize("entry", entries, ids=lambda entry: entry.__name__)


def refused(entry, pattern, *, model=MODEL, recognition=RECOGNITION, x=BITS):
    with pytest.raises(InputError, match=pattern) as raised:
        entry(model, recognition, x)
    assert "\n" not in str(raised.value)


@every(train, evaluate, use, anneal)
def test_log_likelihood_that_is_not_one_number(entry):
    """Of shape (1,) it would be broadcast against the others: the sum of [C] and [C, 1]."""
    model = MODEL._replace(log_likelihood=lambda *args: MODEL.log_likelihood(*args)[None])
    refused(entry, r"^log_likelihood\(x, z\) of one particle has the shape \(1,\)", model=model)


@every(train, evaluate, use, anneal)
def test_log_prior_that_is_not_one_number(entry):
    model = MODEL._replace(log_prior=lambda *args: MODEL.log_prior(*args)[None])
    refused(entry, r"^log_prior\(z\) of one particle has the shape \(1,\)", model=model)


@every(train, evaluate, use, anneal)
@pytest.mark.parametrize(
    ("make", "name"),
    [(collections.namedtuple("Normal", "loc scale"), "Normal"), (lambda *both: both, "tuple")],
)
def test_recognition_network_that_returns_no_distribution(entry, make, name):
    def distribution(eta, x):
        r = RECOGNITION.distribution(eta, x)
        return make(r.loc, r.scale)

    network = RECOGNITION._replace(distribution=distribution)
    refused(entry, f"^Recognition.distribution returns a {name}: return a", recognition=network)


PIXELS = BITS.astype(np.uint8) * 255
NAN = np.where(np.arange(6)[:, None] == 4, np.nan, BITS).astype(np.float32)
OUTSIDE = {
    "bytes": (PIXELS, r"holds 255 \(and \d+ more rows\) and .* in \[0, 1\]: divide bytes by 255"),
    "from -1 to 1": (2 * BITS - 1, r"holds -1 \(and \d+ more rows\) and .* map -1..1 by"),
    "counts": (np.arange(24).reshape(6, 4), r"^row 0 holds 2 \(and 5 more rows\) and values must"),
    "nan": (NAN, r"^row 4 holds nan: drop or impute that row$"),
}


@every(train, evaluate, anneal)
@pytest.mark.parametrize("data", OUTSIDE)
def test_data_that_the_likelihood_has_no_density_for(entry, data):
    x, pattern = OUTSIDE[data]
    refused(entry, pattern, x=x)


def test_use_of_latents_asks_for_finite_data_alone():
    """The recognition network takes any; what the likelihood takes is no matter there."""
    refused(use, OUTSIDE["nan"][1], x=NAN)
    use(MODEL, RECOGNITION, 2 * BITS - 1)


@every(begin, evaluate, use, anneal)
@pytest.mark.parametrize(
    ("x", "pattern"),
    [
        (BITS.reshape(6, 2, 2), r"^a datapoint has the shape \(2, 2\) and .* reshape the data to"),
        (
            BITS[:, 0],
            r"^a datapoint has the shape \(\) and .* vectors of 4: give data of 4 columns",
        ),
        (BITS[:, :3], r"^a datapoint has the shape \(3,\) and .* give data of 4 columns"),
    ],
    ids=["images", "one column", "a column less"],
)
def test_data_of_another_form_than_the_networks_take(entry, x, pattern):
    refused(entry, pattern, x=x)
