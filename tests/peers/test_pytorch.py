"""The PyTorch forms that the benchmark times compute what ours compute: losses of one network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import one_shot
from remjax.models.gaussian import gaussian_model, gaussian_recognition
from remjax.models.likelihoods import bernoulli_likelihood
from remjax.types import Params

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[peers]'")

from benchmarks.peers.networks import pytorch  # noqa: E402  it imports torch
from benchmarks.peers.networks.work import DATA_SIZE, HIDDEN_SIZE, LATENT_SIZE  # noqa: E402

NUM_PARTICLES, DRAWS = 64, 200


def copy(sequential, params):
    """Our layers into those of PyTorch."""
    layers = [layer for layer in sequential if isinstance(layer, torch.nn.Linear)]
    ours = [*(params["hidden"][place] for place in (0, 1)), params["head"]]
    with torch.no_grad():
        for layer, leaf in zip(layers, ours, strict=True):
            layer.weight.copy_(torch.from_numpy(np.array(leaf["kernel"]).T))
            layer.bias.copy_(torch.from_numpy(np.array(leaf["bias"])))


@pytest.mark.parametrize("method", ["iwae", "rws", "rem_v1"])
def test_mean_loss_is_that_of_the_one_shot_form(method):
    """200 draws each of the same images and networks: five standard errors of the difference."""
    mean = np.full(DATA_SIZE, 0.3)
    sizes = {"latent_size": LATENT_SIZE, "hidden_sizes": (HIDDEN_SIZE, HIDDEN_SIZE)}
    model = gaussian_model(bernoulli_likelihood(mean), **sizes)
    recognition = gaussian_recognition(np.zeros(DATA_SIZE), **sizes)
    params = Params(model.init(jax.random.key(0)), recognition.init(jax.random.key(1)))
    x = np.random.default_rng(0).integers(0, 2, (2, DATA_SIZE)).astype(np.float32)

    objective = getattr(one_shot, method)(model, recognition, NUM_PARTICLES)
    keys = jax.random.split(jax.random.key(2), (DRAWS, len(x)))
    draw = jax.jit(jax.vmap(jax.vmap(objective, (None, 0, 0)), (None, 0, None)))
    ours = -np.mean(draw(params, keys, jnp.asarray(x)), axis=1)

    networks = pytorch.Networks()
    copy(networks.decoder, params.theta["network"])
    copy(networks.encoder, params.eta["mlp"])
    torch.manual_seed(0)
    loss = pytorch.LOSSES[method]
    drawn = (loss(networks, torch.from_numpy(x), NUM_PARTICLES) for _ in range(DRAWS))
    theirs = [one.item() for one in drawn]
    error = np.sqrt((np.var(ours) + np.var(theirs)) / DRAWS)
    assert abs(np.mean(ours) - np.mean(theirs)) < 5 * error
    assert error < 0.5
