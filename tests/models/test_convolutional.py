"""Convolutional networks: an encoder against loops in NumPy, and images of any sides."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import remjax
from remjax import methods, models
from remjax.errors import InputError

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def encoded(image, params):
    """A 3x3 convolution with a stride of 2, zeros around as XLA pads, rectified; then the head."""
    kernel, bias = (np.float64(params["layers"][0][name]) for name in ("kernel", "bias"))
    sides = [-(-size // 2) for size in image.shape]
    total = [
        max(2 * (small - 1) + 3 - size, 0) for small, size in zip(sides, image.shape, strict=True)
    ]
    padded = np.pad(image, [(both // 2, both - both // 2) for both in total])
    out = np.zeros((*sides, kernel.shape[-1]))
    for i in range(sides[0]):
        for j in range(sides[1]):
            patch = padded[2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            out[i, j] = np.einsum("ab,abn->n", patch, kernel[:, :, 0]) + bias
    head = (np.float64(params["head"][name]) for name in ("kernel", "bias"))
    weight, offset = head
    return np.maximum(out, 0).ravel() @ weight + offset


@pytest.mark.parametrize("shape", [(6, 6), (5, 4), (7, 1)])
def test_the_encoder_is_that_of_loops(shape):
    mean, x = RNG.random(np.prod(shape)), RNG.random(np.prod(shape))
    recognition = models.convolutional_recognition(
        mean, image_shape=shape, latent_size=2, features=(3,)
    )
    eta = recognition.init(KEY)
    eta["layers"][0]["bias"] = jnp.array([0.1, -0.2, 0.3])
    r = recognition.r(eta, jnp.asarray(x, jnp.float32))
    expected = encoded((x - mean).reshape(shape), eta)
    np.testing.assert_allclose(r.mean, expected[:2], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(r.variance, np.exp(expected[2:]), rtol=1e-4)


@pytest.mark.parametrize("shape", [(8, 8), (7, 5), (28, 20), (1, 3)])
def test_images_of_any_sides(shape):
    """They begin at the mean of the data, and every pixel depends on the latent."""
    mean = np.full(np.prod(shape), 0.3)
    model = models.convolutional_model(
        models.bernoulli_likelihood(mean), image_shape=shape, latent_size=4, features=(4, 8)
    )
    theta = model.init(KEY)
    np.testing.assert_allclose(model.mean(theta, jnp.zeros(4)), mean, rtol=1e-5)
    z = jax.random.normal(jax.random.key(1), (50, 4))
    images = jax.vmap(model.mean, (None, 0))(theta, z)
    assert images.shape == (50, np.prod(shape))
    assert np.all(np.std(images, axis=0) > 0)


def test_a_fit_with_batch_normalisation():
    """Bars, upright or lying: far better than independent pixels have it (-25 nats)."""
    images = np.zeros((120, 6, 6), np.float32)
    images[np.arange(60), :, RNG.integers(0, 6, 60)] = 1.0
    images[np.arange(60, 120), RNG.integers(0, 6, 60)] = 1.0
    mean = images.reshape(120, -1).mean(axis=0)
    sizes = {"image_shape": (6, 6), "latent_size": 3, "features": (8,), "batch_norm": True}
    model = models.convolutional_model(models.bernoulli_likelihood(mean), **sizes)
    recognition = models.convolutional_recognition(mean, **sizes)
    fit = remjax.fit(
        images, model, recognition, methods.vae(), remjax.Particles(1),
        epochs=60, batch_size=40, optimizer=remjax.adam(1e-2), progress=False,
    )  # fmt: skip
    assert fit.history[-1]["skipped_updates"] == 0
    independent = float(np.sum(mean * np.log(mean) + (1 - mean) * np.log(1 - mean)))
    assert fit.column("log_evidence")[-1] > independent + 4.0
    assert np.any(np.asarray(fit.params.eta["norms"][0]["mean"]) != 0.0)
    assert fit.sample(3).shape == (3, 6, 6)


def test_refusals():
    likelihood = models.bernoulli_likelihood(np.full(12, 0.5))
    with pytest.raises(InputError, match=r"^image_shape \(4, 4\) has 16 pixels and the data"):
        models.convolutional_model(likelihood, image_shape=(4, 4), latent_size=2)
    with pytest.raises(InputError, match=r"^features are \(\): give a positive number for each"):
        models.convolutional_recognition(
            np.zeros(12), image_shape=(4, 3), latent_size=2, features=()
        )
