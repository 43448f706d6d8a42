"""How good a fitted model is: log-likelihood with its error, and the state of the weights.

Everything is streamed over datapoints and particles; a datapoint's particles follow from (key, its
place), so a figure does not depend on how the work was cut.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Key

from remjax.errors import InputError
from remjax.evaluation.blocks import CHUNK_SIZE, Images, Measure, over_datapoints
from remjax.evaluation.proposals import EvaluationProposal, from_recognition
from remjax.particles.chunks import check_counts
from remjax.particles.e_step import log_weights
from remjax.particles.weights import effective_sample_size, log_mean_exp, pareto_k
from remjax.types import Datapoint, Model, Params, Recognition


class Evaluation(NamedTuple):
    """Per-datapoint results of `log_likelihood`.

    Attributes:
        log_likelihood: log 1/K sum_k w_k, nats; its expectation is the lower bound L_K.
        ess: effective sample size, 1..K.
        pareto_k: k-hat of the weights; above 0.7 the estimate is not to be trusted.
    """

    log_likelihood: Float[np.ndarray, " N"]
    ess: Float[np.ndarray, " N"]
    pareto_k: Float[np.ndarray, " N"]

    @property
    def mean(self) -> float:
        """Mean log-likelihood in nats per datapoint."""
        return float(np.mean(self.log_likelihood, dtype=np.float64))

    @property
    def stderr(self) -> float:
        """Standard error of the mean over datapoints, nats; nan for a single one."""
        return standard_error(self.log_likelihood)


def standard_error(values: Float[np.ndarray, " N"]) -> float:
    """Standard error of the mean of independent values; nan for a single one."""
    if len(values) < 2:
        return float("nan")
    return float(np.std(values, ddof=1, dtype=np.float64) / np.sqrt(len(values)))


def make_log_likelihood(
    model: Model,
    recognition: Recognition,
    *,
    num_particles: int = 5000,
    proposal: EvaluationProposal = from_recognition,
    mesh: Mesh | None = None,
) -> Callable[..., Evaluation]:
    """A compiled evaluation, to be called on as many parameters and data sets as there are.

    Memory does not depend on the number of datapoints, and grows with K by 250 bytes per particle.

    Args:
        model: p_theta(x, z).
        recognition: r_eta(z | x).
        num_particles: K.
        proposal: which distribution the particles come from (`evaluation.proposals`).
        mesh: the devices among which the datapoints are divided (`sharding.make_mesh`).

    Returns:
        evaluate(params, key, x [N, X], progress=None) -> Evaluation; progress(n) is called with the
        number of datapoints done since the last call.

    Raises:
        InputError: for num_particles below one, and from `evaluate` for data without rows or with
            values that the model has no density for.
    """
    check_counts(num_particles, None, None)
    measure = figures_of_one(model, recognition, num_particles, proposal)
    measured = over_datapoints(measure, model.support, mesh)

    def evaluate(
        params: Params,
        key: Key[Array, ""],
        x: Images,
        progress: Callable[[int], None] | None = None,
    ) -> Evaluation:
        return Evaluation(*measured(params, key, x, progress))

    return evaluate


def figures_of_one(
    model: Model, recognition: Recognition, num_particles: int, proposal: EvaluationProposal
) -> Measure:
    """What is measured of one datapoint: the log-likelihood, the ESS and k-hat of its particles."""

    def one(
        params: Params, key: Key[Array, ""], x: Datapoint
    ) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
        joint = model.joint(params.theta, x).hard()
        key_proposal, key = jax.random.split(key)
        r = recognition.r(params.eta, x).hard()
        q = proposal(key_proposal, joint, r, num_particles, CHUNK_SIZE)
        if not q.is_normalized:
            raise InputError(
                f"L_K needs a normalised r, and log Z of {type(q).__name__} is not known: use "
                "evaluation.make_undirected_log_likelihood"
            )
        log_w = log_weights(key, joint, q, num_particles, chunk_size=CHUNK_SIZE)
        return log_mean_exp(log_w), effective_sample_size(log_w), pareto_k(log_w)

    return one


def log_likelihood(
    model: Model,
    recognition: Recognition,
    params: Params,
    key: Key[Array, ""],
    x: Images,
    *,
    num_particles: int = 5000,
    proposal: EvaluationProposal = from_recognition,
) -> Evaluation:
    """The log-likelihood of every datapoint by importance sampling (Burda et al. 2015, Eq. 8).

    Compiles anew at each call: for repeated use see `make_log_likelihood`, whose arguments these
    are.

    Example: `log_likelihood(model, recognition, params, key, x).mean` in nats per datapoint.
    """
    evaluate = make_log_likelihood(
        model, recognition, num_particles=num_particles, proposal=proposal
    )
    return evaluate(params, key, x)
