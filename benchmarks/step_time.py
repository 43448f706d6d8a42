"""One training gradient in three forms: written plainly, exact in chunks, and of few that are kept.

    python -m benchmarks.step_time --methods=rem_v1,iwae --batch_size=20 --num_particles=1000

Times the gradients of both losses (784-200-200-20 networks, float32), the forms in turn, and prints
medians, the speed relative to the plain form (`benchmarks.one_shot`) pair by pair, and temporary
memory from the compiler's own analysis.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from benchmarks import one_shot
from benchmarks.measure import Program, compile_program, median_ratio, time_interleaved
from experiments.output.tables import markdown
from experiments.run import command_line
from experiments.run.methods import accepts, build_estimator
from remjax.models.gaussian import gaussian_model, gaussian_recognition
from remjax.models.likelihoods import bernoulli_likelihood
from remjax.types import Batch, Model, Params, Recognition

FLAGS = flags.FLAGS


DATA_SIZE = 784


PLAIN = {"iwae": one_shot.iwae, "rws": one_shot.rws, "rem_v1": one_shot.rem_v1}

Loss = Callable[[Params, jax.Array, Batch], jax.Array]


def plain_loss(method: str, model: Model, recognition: Recognition) -> Loss:
    """Both losses of a method, all particles at once."""
    objective = PLAIN[method](model, recognition, FLAGS.num_particles)

    def loss(params: Params, key: jax.Array, batch: Batch) -> jax.Array:
        keys = jax.random.split(key, len(batch.x))
        return -jnp.mean(jax.vmap(objective, (None, 0, 0))(params, keys, batch.x))

    return loss


def engine_loss(
    method: str, model: Model, recognition: Recognition, options: dict[str, int]
) -> Loss:
    """Both losses of a method by its estimator."""
    estimator = build_estimator(method, model, recognition, options)

    def loss(params: Params, key: jax.Array, batch: Batch) -> jax.Array:
        _, state = estimator.init(key)
        estimate, _ = estimator.estimate(params, state, key, batch)
        return estimate.theta_loss + estimate.eta_loss

    return loss


def gradient_programs(method: str) -> dict[str, Program]:
    """The compiled gradient of both losses in every form that the method has."""
    rng = np.random.default_rng(0)
    mean = rng.uniform(0.0, 0.3, DATA_SIZE)
    sizes = {"latent_size": 20, "hidden_sizes": (200, 200)}
    networks = (
        gaussian_model(bernoulli_likelihood(mean), **sizes),
        gaussian_recognition(mean, **sizes),
    )
    options = {"num_particles": FLAGS.num_particles}
    losses = {"exact": engine_loss(method, *networks, options)}
    if method in PLAIN:
        losses = {"one-shot": plain_loss(method, *networks)} | losses
    if accepts(method, "keep"):
        kept = options | {"keep": FLAGS.keep}
        losses[f"keep={FLAGS.keep}"] = engine_loss(method, *networks, kept)
    params, _ = build_estimator(method, *networks, options).init(jax.random.key(0))
    bits = rng.uniform(size=(FLAGS.batch_size, DATA_SIZE)) < mean
    batch = Batch(jnp.asarray(bits, jnp.float32), jnp.arange(FLAGS.batch_size))
    arguments = (params, jax.random.key(1), batch)
    return {form: compile_program(jax.grad(loss), *arguments) for form, loss in losses.items()}


def define_flags() -> None:
    """Which methods, and how large a step."""
    flags.DEFINE_list("methods", ["rem_v1"], "methods to time")
    flags.DEFINE_integer("batch_size", 20, "B, images", lower_bound=1)
    flags.DEFINE_integer("num_particles", 1000, "K, particles per image", lower_bound=1)
    flags.DEFINE_integer("keep", 32, "M, particles that carry the gradient", lower_bound=1)
    flags.DEFINE_integer("repeats", 9, "counted runs of each form", lower_bound=1)


def main() -> None:
    """Time every form of every method and print the table."""
    rows = []
    for method in FLAGS.methods:
        programs = gradient_programs(method)
        seconds = time_interleaved(programs, FLAGS.repeats)
        first = next(iter(programs))
        rows += [
            {
                "method": method,
                "form": form,
                "milliseconds": 1e3 * float(np.median(times)),
                "speed": median_ratio(times, seconds[first]),
                "temporary MB": programs[form].temp_bytes / 1e6,
            }
            for form, times in seconds.items()
        ]
    device = jax.devices()[0].device_kind
    print(f"B={FLAGS.batch_size} K={FLAGS.num_particles} on {device}; speed: first form = 1")
    print(markdown(rows, list(rows[0])))


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
