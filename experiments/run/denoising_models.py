"""Denoising auto-encoders and the chains that they are: what a run of one is made of."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from experiments.run.choices import INITIALIZATIONS, look_up
from experiments.run.data_facts import DataFacts
from experiments.run.denoising_pictures import draw_denoising
from experiments.run.denoising_scoring import SCORING, Denoising, epoch_metrics
from experiments.run.denoising_settings import DENOISING_SETTINGS
from experiments.run.kind import Kind, Work
from experiments.run.likelihoods import AUTO, choose
from experiments.run.methods import DENOISING, with_knobs
from experiments.run.networks import likelihood_of
from experiments.run.sampling_settings import SAMPLING_SETTINGS
from experiments.run.settings import Settings
from remjax.errors import InputError
from remjax.evaluation import make_conservative_log_likelihood
from remjax.methods import make_chains
from remjax.models import denoising_model
from remjax.types import Estimator


def _build(
    settings: Settings, facts: DataFacts, mesh: jax.sharding.Mesh | None
) -> tuple[Estimator, Denoising]:
    """The estimator, the model and its chain."""
    corruption = settings.as_corruption
    if facts.real_valued and corruption.of_unit_interval:
        raise InputError(
            f"--corruption={settings.corruption} is for pixels within [0, 1], which the draws for "
            f"--dataset={facts.name} leave: use --corruption=gaussian or masking"
        )
    mean = facts.mean
    _refuse_what_is_too_large(settings, len(mean))
    model = denoising_model(
        likelihood_of(choose(AUTO, facts).name, facts),
        mean,
        hidden_sizes=settings.hidden_sizes[0],
        data_scale=facts.scale if facts.real_valued else None,
        initialization=look_up(INITIALIZATIONS, "initialization", settings.initialization),
    )
    method = with_knobs(settings.method, settings.for_estimator())
    parts = Denoising(
        model,
        method,
        corruption,
        noise=_noise(facts),
        advance=make_chains(model, num_kept=1, every=settings.csl_every),
        csl=make_conservative_log_likelihood(model.log_likelihood, model.support),
        means=jax.jit(jax.vmap(model.mean, (None, 0))),
        reconstruct=jax.jit(jax.vmap(model.reconstruction, (None, 0, 0))),
    )
    return method.make_estimator(model, corruption), parts


def _refuse_what_is_too_large(settings: Settings, data_size: int) -> None:
    """Before a network is made, which would take all the memory."""
    sizes = settings.hidden_sizes[0] or (data_size,)
    largest = max(sizes) * max(data_size, *sizes)
    if largest >= 2**31:
        raise InputError(
            f"the network would have a layer of up to {largest:,} weights: lower --hidden_size"
        )


def _noise(facts: DataFacts) -> Callable[[jax.Array, int], jax.Array]:
    """Where chains begin: fair bits, or normal numbers with the scale of each pixel."""
    mean, scale = facts.mean, facts.scale

    def of_bits(key: jax.Array, count: int) -> jax.Array:
        return jax.random.bernoulli(key, 0.5, (count, len(mean))).astype(jnp.float32)

    def of_reals(key: jax.Array, count: int) -> jax.Array:
        return mean + scale * jax.random.normal(key, (count, len(mean)))

    return of_reals if facts.real_valued else of_bits


def _line(metrics: Mapping[str, float]) -> str:
    information = f"  I {metrics['information']:.2f}" if "information" in metrics else ""
    return (
        f"log p(x | zbar) {metrics['log_likelihood']:8.2f} nats  test "
        f"{metrics['test_reconstruction']:8.2f}{information}  noise "
        f"{metrics['corruption_strength']:.3f}"
    )


def _work(settings: Settings) -> Work:
    """In passes of the network: those with a gradient count three times."""
    method = with_knobs(settings.method, settings.for_estimator())
    return Work(update=4 * settings.batch_size * method.corruptions_scored, image=1)


KINDS: Mapping[str, Kind] = {
    "denoising": Kind(
        family=DENOISING,
        settings=DENOISING_SETTINGS
        | SAMPLING_SETTINGS
        | {"hidden_size", "hidden_layers", "initialization"},
        build=_build,
        line=_line,
        draw=draw_denoising,
        scoring=SCORING,
        defaults={
            # By far the better chain: measured by the CSL of binarized MNIST.
            "method": "walkback",
            "hidden_size": "500",
            "csl_draws": "100,1000,10000",
        },
        epoch_metrics=epoch_metrics,
        work=_work,
    )
}
