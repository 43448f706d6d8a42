"""One run of Table 3 of Vahdat et al. 2019: networks of two halves of an image, and their fit."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from experiments.run.choices import INITIALIZATIONS, choose_binarization, look_up
from experiments.run.fitting import Stopped
from experiments.run.images import evaluation_images, images_of
from experiments.run.run_directory import RunDirectory
from experiments.run.settings import Settings
from experiments.run.stopping import StopRequest
from remjax.distributions import Bernoulli, PiecewiseLinear
from remjax.methods import structured_prediction
from remjax.methods.method import make_estimator
from remjax.methods.row import Particles
from remjax.models import (
    batch_normalization,
    bernoulli_likelihood,
    grouped_recognition,
    undirected_recognition,
)
from remjax.models.latent_variable import Prior, dense_decoder, latent_variable_model
from remjax.training import checkpoints
from remjax.training.epochs import make_epoch
from remjax.training.optimizers import adam, vahdat_schedule
from remjax.training.steps import init_train_state
from remjax.types import Model, Recognition

_RATE, _DECAY = 3e-4, 1e-4
# Updates of one call, between which a run can be stopped, and between two checkpoints.
_CALL, _CHECKPOINT = 100, 1_000


class Halves(NamedTuple):
    """A model of the lower half of an image and a posterior that sees the upper one.

    Attributes:
        model: its likelihood scores the pixels from the middle on; it has no prior to speak of.
        recognition: q(z | x_1), which is given whole images.
    """

    model: Model
    recognition: Recognition


def halves(settings: Settings, posterior: str, side: int, mean: np.ndarray) -> Halves:
    """One tanh layer in each network, 2 * side bits, piece-wise linear ones.

    Args:
        settings: the widths, the sweeps and how the layers start.
        posterior: "machine", or so many groups.
        side: bits of each side of a machine.
        mean: image.
    """
    start, common = len(mean) // 2, {"hidden_sizes": settings.hidden_sizes[0][:1]}
    likelihood = bernoulli_likelihood(mean[start:])
    layers = common | {
        "normalization": batch_normalization(),
        "initialization": look_up(INITIALIZATIONS, "initialization", settings.initialization),
    }
    decoder = dense_decoder(likelihood.output_bias, latent_size=2 * side, **layers)
    coins = Prior(lambda key: (), lambda _: Bernoulli(jnp.zeros(2 * side)))
    whole = latent_variable_model(likelihood, coins, decoder)
    model = whole._replace(
        log_likelihood=lambda theta, x, z: whole.log_likelihood(theta, x[start:], z), decoded=None
    )
    sharpness = 3.0 if settings.dataset == "omniglot" else 4.0
    layers |= {"relaxation": PiecewiseLinear(sharpness)}
    if posterior == "machine":
        seen = undirected_recognition(
            mean,
            visible_size=side,
            hidden_size=side,
            num_chains=settings.num_particles,
            num_sweeps=settings.posterior_sweeps,
            **layers,
        )
    else:
        groups = int(posterior.split()[0])
        seen = grouped_recognition(mean, latent_size=2 * side, num_groups=groups, **layers)
    upper = jnp.arange(len(mean)) < start
    recognition = seen._replace(distribution=lambda eta, x: seen.distribution(eta, x * upper))
    return Halves(model, recognition)


def score(
    run: RunDirectory, settings: Settings, parts: Halves, updates: int, stop: StopRequest
) -> float:
    """Train, and give the mean of -log 1/K sum_k p(x_2 | z_k) over test images, nats.

    Args:
        run: its directory; what is there of the same run goes on.
        settings: of the run; its seed.
        parts: the networks.
        updates: how many.
        stop: asked after every hundred updates.

    Raises:
        Stopped: someone asked for it; the state is saved.
    """
    found = run.result().get("nats")
    if found is not None:
        return found
    dataset = images_of(settings)
    method = structured_prediction(max(updates // 2, 1))
    estimator = make_estimator(*parts, method, Particles(settings.num_particles))
    optimizer = adam(vahdat_schedule(_RATE, updates), eps=1e-3, weight_decay=_DECAY)
    train = jnp.asarray(dataset.train)
    state = init_train_state(estimator, optimizer, jax.random.key(settings.seed), train)
    epochs = make_epoch(
        estimator,
        optimizer,
        num_data=len(train),
        batch_size=settings.batch_size,
        binarization=choose_binarization(dataset, settings.binarization),
    )
    if checkpoints.latest_step(run.checkpoints) is not None:
        state = checkpoints.restore(run.checkpoints, state)
    step = int(state.step)
    while step < updates:
        state = epochs(state, train, min(_CALL, updates - step))
        step = int(state.step)
        if stop or step % _CHECKPOINT == 0 or step == updates:
            checkpoints.save(run.checkpoints, step, state)
        if stop:
            raise Stopped
    params, count = state.params, settings.eval_num_particles

    @jax.jit
    def log_likelihoods(images: jax.Array) -> jax.Array:
        def of_image(given: tuple[jax.Array, jax.Array]) -> jax.Array:
            x, key = given
            q = parts.recognition.r(params.eta, x).hard()

            def of_draw(key: jax.Array) -> jax.Array:
                return parts.model.log_likelihood(params.theta, x, q.sample(key))

            scores = jax.vmap(of_draw)(jax.random.split(key, count))
            return jax.nn.logsumexp(scores) - jnp.log(count)

        return lax.map(of_image, (images, jax.random.split(jax.random.key(1), len(images))))

    test = evaluation_images(dataset, "test", settings.eval_size)
    nats = -float(np.mean(np.asarray(log_likelihoods(jnp.asarray(test)), np.float64)))
    run.update_result({"nats": nats})
    return nats
