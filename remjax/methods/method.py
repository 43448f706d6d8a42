"""A method is a value: a row of four choices. With a model and particles it is an estimator."""

import dataclasses
from typing import Any

import jax
from jaxtyping import Array, Key, PyTree

from remjax.errors import InputError
from remjax.methods.combine import Combine, Mean
from remjax.methods.row import Choices, Particles, Row
from remjax.methods.sums import Objective
from remjax.types import Batch, Estimate, Estimator, Model, Params, Recognition

_MEAN = Mean()


@dataclasses.dataclass(frozen=True)
class Method(Choices):
    """A row of the table of methods: it knows nothing of networks, of data, or of K.

    Methods that are made alike are equal. The four choices are those of `Choices`, in its order.

    Attributes:
        combine: how the terms of the datapoints become two losses; the mean for most.
    """

    combine: Combine = _MEAN

    def __str__(self) -> str:
        """The row of the table, in words."""
        return (
            f"theta ascends {self.objective} over {self.proposal}, eta {self.hyperobjective} over "
            f"{self.hyperproposal}; combined: {self.combine}"
        )


def make_estimator(
    model: Model, recognition: Recognition, method: Method, particles: Particles
) -> Estimator:
    """The estimator of a method (Dieng & Paisley 2019, Table 1).

    theta_loss sees only particles without gradient and eta_loss only a model without gradient, so
    neither can leak into the other.

    Args:
        model: p_theta(x, z).
        recognition: r_eta(z | x). A method that differentiates through z needs one whose draws are
            reparameterised.
        method: a row of the table, such as `methods.iwae`.
        particles: how many, and how they are held.

    Returns:
        The estimator. Its metrics, averaged over the batch: log_evidence (nats) and ess of theta's
        particles, hyper_ess of eta's, and scored, how many particles the model scored.

    Raises:
        InputError: for particles that the method cannot do with; at the first estimate, for latents
            of a kind that it does not serve.
    """
    _check(method, particles)
    method.combine.check(particles)
    row = Row(model, recognition, method, particles)

    def init(key: Key[Array, ""]) -> tuple[Params, PyTree]:
        key_theta, key_eta = jax.random.split(key)
        params = Params(model.init(key_theta), recognition.init(key_eta))
        baseline, state = method.combine.init(jax.random.fold_in(key, 1), row)
        return params._replace(baseline=baseline), state

    def estimate(
        params: Params, state: Any, key: Key[Array, ""], batch: Batch
    ) -> tuple[Estimate, Any]:
        return method.combine.estimate(row, params, state, key, batch)

    return Estimator(
        init,
        estimate,
        state_of_batch=True,
        memory=recognition.memory,
        support=model.support,
    )


def _check(method: Any, particles: Any) -> None:
    """Raise InputError for what is no method, cannot learn, or cannot do with the particles."""
    if not isinstance(method, Method):
        name = getattr(method, "__name__", None)
        mend = f"call it, as {name}()" if name else "give a value such as remjax.methods.iwae"
        raise InputError(f"method is {name or repr(method)}, which is no Method: {mend}")
    if not isinstance(particles, Particles):
        raise InputError(f"particles is {particles!r}: give remjax.Particles(50), say")
    for name, part in (("objective", "theta"), ("hyperobjective", "eta")):
        objective = getattr(method, name)
        if not isinstance(objective, Objective):
            shown = getattr(objective, "__name__", repr(objective))
            raise InputError(
                f"the {name} is {shown}, which is no Objective: give a value such as "
                "methods.inclusive_kl or methods.Sum(weight, term), or call the function that "
                "makes one"
            )
        if part not in objective.moves:
            raise InputError(
                f"the {name}, {objective}, does not depend on {part}, which would never move: "
                "give another, or change the two about"
            )
    if particles.num_particles < method.fewest:
        raise InputError(
            "this method compares each particle with the others: give "
            f"num_particles={method.fewest} or more"
        )
    if particles.keep is not None and not method.keeps:
        raise InputError(
            f"keep is {particles.keep}: particles that are chosen by their weights stand for sums "
            f"under the weights alone, and here theta ascends {method.objective} and eta "
            f"{method.hyperobjective}: leave keep out"
        )
