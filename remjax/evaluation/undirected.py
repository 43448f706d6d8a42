"""The log-likelihood of models with an undirected posterior, whose log Z is not known.

Particles are annealed from the posterior's biases to the posterior, and carry the weight of their
annealing into the importance weight. That makes it proper: E[w] = p(x), whatever the number of
temperatures, and log Z of the posterior is not needed at all.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Key

from remjax.boltzmann.annealing import ais
from remjax.boltzmann.brackets import Bracket
from remjax.boltzmann.machine import check_count
from remjax.boltzmann.paths import bias_base, linear_inverse_temperatures
from remjax.boltzmann.posterior import UndirectedPosterior
from remjax.errors import InputError
from remjax.evaluation.blocks import Images, over_datapoints
from remjax.evaluation.importance_sampling import standard_error
from remjax.models.boltzmann_prior import normalize_prior
from remjax.particles.chunks import balanced_chunks, check_counts
from remjax.particles.e_step import scores
from remjax.particles.weights import effective_sample_size, log_mean_exp
from remjax.types import Datapoint, Model, Params, Recognition

# Datapoints between two reports of progress. They go one by one: each has couplings of its own.
_BLOCK = 10


class UndirectedEvaluation(NamedTuple):
    """Per-datapoint results of `make_undirected_log_likelihood`, nats.

    Attributes:
        log_likelihood: log 1/K sum_k w_k, on average a lower bound of log p(x) where log Z of the
            prior is exact.
        ess: effective number of the weights, 1..K.
        log_likelihood_as_released: by the scheme of the code of Vahdat et al. 2019: the annealed
            states as if they were exact draws, and log Z of the same annealing. No bound.
        log_z: of the posterior, by annealing; on average too small.
        prior: log Z of the prior from both sides, where it was given.
    """

    log_likelihood: Float[np.ndarray, " N"]
    ess: Float[np.ndarray, " N"]
    log_likelihood_as_released: Float[np.ndarray, " N"]
    log_z: Float[np.ndarray, " N"]
    prior: Bracket | None = None

    @property
    def mean(self) -> float:
        """Mean log-likelihood in nats per datapoint."""
        return float(np.mean(self.log_likelihood, dtype=np.float64))

    @property
    def mean_as_released(self) -> float:
        """That of the released scheme."""
        return float(np.mean(self.log_likelihood_as_released, dtype=np.float64))

    @property
    def stderr(self) -> float:
        """Standard error of the mean over datapoints, nats; nan for a single one."""
        return standard_error(self.log_likelihood)

    @property
    def interval(self) -> tuple[float, float]:
        """The mean with log Z of the prior at the two ends of its bracket, the smaller first.

        Where the ends differ by less than their noise the lower one may lie above the other.
        """
        if self.prior is None:
            return self.mean, self.mean
        ends = self.prior.lower.log_z, self.prior.upper.log_z
        low, high = sorted(self.mean - float(end - self.prior.log_z) for end in ends)
        return low, high

    def __str__(self) -> str:
        """Both figures in one line."""
        low, high = self.interval
        return (
            f"{self.mean:.2f} +- {self.stderr:.2f} nats ({low:.2f} to {high:.2f} by log Z of the "
            f"prior); {self.mean_as_released:.2f} by the released scheme"
        )


def make_undirected_log_likelihood(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int = 4000,
    num_temperatures: int = 500,
    num_sweeps: int = 1,
    chunk_size: int = 500,
    mesh: Mesh | None = None,
) -> Callable[..., UndirectedEvaluation]:
    """A compiled evaluation by annealed particles of an undirected posterior.

    w = p(x, z) / f(z) times the weight of the annealing that ended at z, f(z) = exp(-E(z)): that
    weight has the mean sum_z f(z) g(z) with any g, so E[w] = p(x) (Neal 2001). The path leads from
    the biases alone to the posterior, with temperatures that are linear in their inverse. Relaxed
    bits are replaced by bits.

    Args:
        model: p_theta(x, z), of bits in one vector.
        recognition: whose distributions are `boltzmann.UndirectedPosterior`.
        num_particles: K.
        num_temperatures: of each annealing.
        num_sweeps: at each temperature.
        chunk_size: particles in memory at a time.
        mesh: the devices among which the datapoints are divided (`sharding.make_mesh`).

    Returns:
        evaluate(params, key, x [N, X], prior=None, progress=None) -> UndirectedEvaluation. `prior`
        is the bracket of log Z of the prior machine in theta, whose log_z normalises it; without it
        theta comes normalised (`models.normalize_prior`), or has a prior that needs none.
        progress(n) is called with the number of datapoints done since the last call.

    Raises:
        InputError: for counts below one; from `evaluate` for a posterior that is no machine, data
            without rows or with values that the model has no density for.
    """
    check_counts(num_particles, chunk_size, None)
    check_count("num_sweeps", num_sweeps)
    check_count("num_temperatures", num_temperatures)
    schedule = linear_inverse_temperatures(num_temperatures)
    num_chunks, size = balanced_chunks(num_particles, chunk_size)

    def one(params: Params, key: Key[Array, ""], x: Datapoint) -> tuple[Array, ...]:
        joint = model.joint(params.theta, x).hard()
        q = recognition.r(params.eta, x)
        if not isinstance(q, UndirectedPosterior):
            raise InputError(
                f"the posterior is a {type(q).__name__}, which is no Boltzmann machine: use "
                "evaluation.make_log_likelihood"
            )
        path = bias_base(q.machine)

        def chunk(number: Int[Array, ""]) -> tuple[Float[Array, " C"], Float[Array, " C"]]:
            name = jax.random.fold_in(key, number)
            record = ais(name, path, schedule, num_chains=size, num_sweeps=num_sweeps)
            z = q.latents(record.samples)
            return record.log_weights, scores(joint, z) + jax.vmap(q.energy)(z)

        annealed, ratio = lax.map(chunk, jnp.arange(num_chunks))
        annealed, ratio = (leaf.reshape(-1)[:num_particles] for leaf in (annealed, ratio))
        log_z = log_mean_exp(annealed)
        log_w = annealed + ratio
        released = log_mean_exp(ratio) + log_z
        return log_mean_exp(log_w), effective_sample_size(log_w), released, log_z

    run = over_datapoints(one, model.support, mesh, block_size=_BLOCK, in_flight=1)

    def evaluate(
        params: Params,
        key: Key[Array, ""],
        x: Images,
        prior: Bracket | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> UndirectedEvaluation:
        if prior is not None:
            params = params._replace(theta=normalize_prior(params.theta, prior.log_z))
        return UndirectedEvaluation(*run(params, key, x, progress), prior=prior)

    return evaluate
