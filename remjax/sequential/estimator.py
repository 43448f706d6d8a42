"""A state-space model, its proposals and a method as an estimator, which training takes."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key, PyTree, Shaped

from remjax.errors import InputError
from remjax.methods.batches import Terms, batch_mean, largest_divisor, rows_in_flight
from remjax.methods.row import Particles
from remjax.particles.weights import resample_systematic
from remjax.sequential.methods import Bound, SequentialMethod, Weighted
from remjax.sequential.particle_filter import Filtered, over_particles, particle_filter
from remjax.sequential.state_space import StateSpaceModel, StepRecognition, Steps, steps_of
from remjax.types import Batch, Estimate, Estimator, Latent, Params, Scalar

# (z_{t-1}, z_t, x_t, observed) -> nats, of ONE particle at one step.
Term = Callable[[Latent | None, Latent, Array, Array], Scalar]


def make_estimator(
    model: StateSpaceModel,
    recognition: StepRecognition,
    method: SequentialMethod,
    particles: Particles,
) -> Estimator:
    """The estimator of a method for sequences; a datapoint is a sequence x [T, X].

    Shorter sequences end with rows of NaN (`steps_of`). theta_loss has a gradient in theta alone
    and eta_loss in eta alone.

    Args:
        model: p_theta(x, z).
        recognition: r_eta(z_t | z_{t-1}, x_t).
        method: such as `sequential.rem()`.
        particles: K for each sequence; `keep` of each step; `chunk_size` within a step.

    Returns:
        The estimator. Its metrics, averaged over the batch: log_evidence (nats per sequence); ess
        and hyper_ess, averaged over the steps; scored, how many particles the model scored in all
        steps; resampled, at how many steps.

    Raises:
        InputError: for something else than a SequentialMethod; for `keep` with a bound, to which
            all particles belong.
    """
    check_method(method, particles)
    sequences = _Sequences(model, recognition, method, particles)

    def init(key: Key[Array, ""]) -> tuple[Params, PyTree]:
        key_theta, key_eta = jax.random.split(key)
        return Params(model.init(key_theta), recognition.init(key_eta)), ()

    def estimate(
        params: Params, state: Any, key: Key[Array, ""], batch: Batch
    ) -> tuple[Estimate, Any]:
        rows = rows_in_flight(particles.keep, math.prod(batch.x.shape[2:]))
        in_flight = min(particles.chunk_size or rows, particles.num_particles)
        size = largest_divisor(batch.x.shape[0], rows // in_flight)
        terms = batch_mean(sequences, params, key, batch, size)
        return Estimate(-terms.theta, -terms.eta, terms.metrics), state

    support = model.support._replace(missing=True)
    return Estimator(init, estimate, state_of_batch=True, support=support)


def check_method(method: Any, particles: Particles) -> None:
    """Raise InputError for what is no method, or cannot do with the particles."""
    if not isinstance(method, SequentialMethod):
        name = getattr(method, "__name__", None)
        mend = f"call it, as {name}()" if name else "give a value such as sequential.rem()"
        raise InputError(f"method is {name or repr(method)}, which is no SequentialMethod: {mend}")
    if particles.keep is not None and not method.keeps:
        raise InputError(
            f"keep is {particles.keep}: it serves weighted sums, and here theta or eta ascends the "
            "log Z of all particles: leave keep out"
        )


class _Sequences(NamedTuple):
    """(params, key, batch) -> the terms of every sequence."""

    model: StateSpaceModel
    recognition: StepRecognition
    method: SequentialMethod
    particles: Particles

    def __call__(self, params: Params, key: Key[Array, ""], batch: Batch) -> Terms:
        # By their place in the data set: how a batch is cut changes no particle.
        keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(batch.index)
        return jax.vmap(lambda key, x: self.of_sequence(params, key, x))(keys, batch.x)

    def of_sequence(self, params: Params, key: Key[Array, ""], x: Shaped[Array, "T ..."]) -> Terms:
        """The terms of ONE sequence. Consumes the key."""
        method, model, recognition = self.method, self.model, self.recognition
        frozen, steps = lax.stop_gradient(params), steps_of(x)
        key_filter, key_theta, key_eta = jax.random.split(key, 3)
        if isinstance(method.hyperobjective, Bound):
            (theta, eta), filtered = self._bounds(params.theta, params.eta, key_filter, x)
        else:
            moving = params.theta if isinstance(method.objective, Bound) else frozen.theta
            filtered = self._filter(moving, frozen.eta, key_filter, x, pathwise=False)
            theta = eta = filtered.log_evidence
        filtered = lax.stop_gradient(filtered)
        if isinstance(method.objective, Weighted):

            def log_joint(previous: Any, z: Latent, row: Array, observed: Array) -> Scalar:
                return model.log_joint(params.theta, previous, z, row, observed)

            theta = self._weighted(key_theta, log_joint, method.objective, filtered, steps)
        if isinstance(method.hyperobjective, Weighted):

            def log_r(previous: Any, z: Latent, row: Array, observed: Array) -> Scalar:
                r = recognition.r(params.eta, previous, row)
                return jnp.where(observed, r.log_prob(z), 0.0)

            eta = self._weighted(key_eta, log_r, method.hyperobjective, filtered, steps)
        return Terms(theta, eta, self._metrics(filtered))

    def _filter(
        self,
        theta: PyTree,
        eta: PyTree,
        key: Key[Array, ""],
        x: Shaped[Array, "T ..."],
        *,
        pathwise: bool,
    ) -> Filtered:
        method, particles = self.method, self.particles
        return particle_filter(
            key,
            self.model,
            theta,
            self.recognition,
            eta,
            x,
            particles.num_particles,
            proposal=method.proposal,
            threshold=method.threshold,
            resampling=method.resampling,
            chunk_size=particles.chunk_size,
            pathwise=pathwise,
        )

    def _bounds(
        self, theta: PyTree, eta: PyTree, key: Key[Array, ""], x: Shaped[Array, "T ..."]
    ) -> tuple[tuple[Scalar, Scalar], Filtered]:
        """log Z twice: the first moves theta alone, the second eta alone; one pass serves both."""

        def log_z(theta: PyTree, eta: PyTree, key: Any, x: Any) -> tuple[Scalar, Filtered]:
            filtered = self._filter(theta, eta, key, x, pathwise=True)
            return filtered.log_evidence, filtered

        @jax.custom_vjp
        def twice(theta: PyTree, eta: PyTree, key: Any, x: Any) -> Any:
            value, filtered = log_z(theta, eta, key, x)
            return (value, value), filtered

        def forward(theta: PyTree, eta: PyTree, key: Any, x: Any) -> Any:
            value, pull, filtered = jax.vjp(
                lambda theta, eta: log_z(theta, eta, key, x), theta, eta, has_aux=True
            )
            return ((value, value), filtered), pull

        def backward(pull: Any, cotangents: Any) -> Any:
            (of_theta, of_eta), _ = cotangents
            gradient = pull(jnp.ones_like(of_theta))
            to_theta, to_eta = (
                jax.tree.map(lambda leaf, by=by: by * leaf, one)
                for one, by in zip(gradient, (of_theta, of_eta), strict=True)
            )
            return to_theta, to_eta, None, None

        twice.defvjp(forward, backward)
        return twice(theta, eta, key, x)

    def _weighted(
        self,
        key: Key[Array, ""],
        term: Term,
        objective: Weighted,
        filtered: Filtered,
        steps: Steps,
    ) -> Scalar:
        """sum_t sum_k weights_tk term, step by step; a step is computed again backward."""
        weights = objective.weights(filtered) * filtered.active[:, None]
        keys = jax.vmap(lambda step: jax.random.fold_in(key, step))(jnp.arange(len(weights)))

        def of_step(inputs: Any, previous: Latent | None) -> Scalar:
            key, z, w, row, observed = inputs
            previous, z, w = self._kept(key, previous, z, w)
            each = over_particles(
                lambda previous, z: term(previous, z, row, observed), self.particles.chunk_size
            )
            return jnp.sum(w * each(previous, z))

        def later(total: Scalar, inputs: Any) -> tuple[Scalar, None]:
            before, ancestors, *own = inputs
            previous = jax.tree.map(lambda leaf: leaf[ancestors], before)
            return total + of_step(own, previous), None

        own = (keys, filtered.z, weights, steps.x, steps.observed)
        first, rest = (
            jax.tree.map(lambda leaf, at=at: leaf[at], own) for at in (0, slice(1, None))
        )
        before = jax.tree.map(lambda leaf: leaf[:-1], filtered.z)
        inputs = (before, filtered.ancestors[1:], *rest)
        return lax.scan(jax.checkpoint(later, prevent_cse=False), of_step(first, None), inputs)[0]

    def _kept(
        self, key: Key[Array, ""], previous: Latent | None, z: Latent, w: Float[Array, " K"]
    ) -> tuple[Latent | None, Latent, Float[Array, " M"]]:
        """The particles that carry the gradient of a step; who has no weight counts nowhere."""
        keep = self.particles.keep
        if keep is None:
            # Zero times the gradient at an impossible particle may be NaN.
            places: Int[Array, " M"] = jnp.where(w > 0.0, jnp.arange(w.shape[0]), jnp.argmax(w))
            kept = w
        else:
            places = resample_systematic(key, jnp.log(w), keep)
            kept = jnp.full((keep,), jnp.sum(w) / keep)
        previous, z = jax.tree.map(lambda leaf: leaf[places], (previous, z))
        return previous, z, kept

    def _metrics(self, filtered: Filtered) -> dict[str, Array]:
        count = jnp.sum(filtered.active)
        # A sequence of nothing but missing rows has no step.
        ess = jnp.sum(jnp.where(filtered.active, filtered.ess, 0.0)) / jnp.maximum(count, 1)
        scored = self.method.proposal.scored * self.particles.num_particles * count
        return {
            "log_evidence": filtered.log_evidence,
            "ess": ess,
            "hyper_ess": ess,
            "scored": scored.astype(float),
            "resampled": jnp.sum(filtered.resampled).astype(float),
        }
