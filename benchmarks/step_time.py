"""One training gradient in two forms: of all particles, exactly, and of few that are kept.

    python -m benchmarks.step_time --methods=rem_v1,iwae --batch_size=20 --num_particles=1000

Times the gradients of both losses (784-200-200-20 networks, float32), the forms in turn, and prints
medians, the speed relative to the exact form pair by pair, and temporary memory from the
compiler's own analysis.
"""

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from benchmarks.measure import Program, compile_program, median_ratio, time_interleaved
from experiments import command_line
from experiments.methods import accepts, build_estimator
from experiments.tables import markdown
from remjax.models import (
    bernoulli_likelihood,
    gaussian_model,
    gaussian_recognition,
)
from remjax.types import Batch, Params

FLAGS = flags.FLAGS
flags.DEFINE_list("methods", ["rem_v1"], "methods to time")
flags.DEFINE_integer("batch_size", 20, "B, images", lower_bound=1)
flags.DEFINE_integer("num_particles", 1000, "K, particles per image", lower_bound=1)
flags.DEFINE_integer("keep", 32, "M, particles that carry the gradient", lower_bound=1)
flags.DEFINE_integer("repeats", 9, "counted runs of each form", lower_bound=1)

DATA_SIZE = 784


def gradient_program(method: str, options: dict[str, int | None]) -> Program:
    """The compiled gradient of both losses of a method."""
    rng = np.random.default_rng(0)
    mean = rng.uniform(0.0, 0.3, DATA_SIZE)
    sizes = {"latent_size": 20, "hidden_sizes": (200, 200)}
    model = gaussian_model(bernoulli_likelihood(mean), **sizes)
    recognition = gaussian_recognition(mean, **sizes)
    estimator = build_estimator(method, model, recognition, options)
    params, state = estimator.init(jax.random.key(0))
    bits = rng.uniform(size=(FLAGS.batch_size, DATA_SIZE)) < mean
    batch = Batch(jnp.asarray(bits, jnp.float32), jnp.arange(FLAGS.batch_size))

    def gradient(params: Params, key: jax.Array, batch: Batch) -> tuple[Params, dict]:
        def loss(params: Params) -> tuple[jax.Array, dict]:
            estimate, _ = estimator.estimate(params, state, key, batch)
            return estimate.theta_loss + estimate.eta_loss, estimate.metrics

        return jax.grad(loss, has_aux=True)(params)

    return compile_program(gradient, params, jax.random.key(1), batch)


def main() -> None:
    """Time every form of every method and print the table."""
    count = FLAGS.num_particles
    programs = {}
    for method in FLAGS.methods:
        forms = {"exact": {}}
        if accepts(method, "keep"):
            forms[f"keep={FLAGS.keep}"] = {"keep": FLAGS.keep}
        for form, options in forms.items():
            options = {"num_particles": count, **options}
            programs[f"{method} {form}"] = gradient_program(method, options)
    seconds = time_interleaved(programs, FLAGS.repeats)
    rows = []
    for name, times in seconds.items():
        exact = seconds[f"{name.split()[0]} exact"]
        rows.append(
            {
                "form": name,
                "milliseconds": 1e3 * float(np.median(times)),
                "speed of exact": median_ratio(times, exact),
                "temporary MB": programs[name].temp_bytes / 1e6,
            }
        )
    print(f"B={FLAGS.batch_size} K={count} on {jax.devices()[0].device_kind}")
    print(markdown(rows, list(rows[0])))


if __name__ == "__main__":
    command_line.run(main)
