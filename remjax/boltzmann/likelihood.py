"""The log-likelihood of a machine as a loss, plain or centred, by samples of a negative phase."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Shaped

from remjax.boltzmann.machine import Machine, check_width
from remjax.boltzmann.rbm import RBM
from remjax.data.checks import check_rows, is_concrete
from remjax.errors import InputError

# Data come as NumPy arrays, of bools or integers too.
Rows = Shaped[Array, "_ V"] | Shaped[np.ndarray, "_ V"]


class Offsets(NamedTuple):
    """What centring subtracts from the units: moving averages of their means under the data.

    Attributes:
        visible: mu, [V].
        hidden: lambda, [H].
    """

    visible: Float[Array, " V"]
    hidden: Float[Array, " H"]


class Sample(NamedTuple):
    """Visible units, and the field of the hidden units given them, without gradient.

    Attributes:
        visible: v, [C, V].
        field: b + v W, [C, H].
        weights: of each, of mean one over all, [C].
    """

    visible: Float[Array, "C V"]
    field: Float[Array, "C H"]
    weights: Float[Array, " C"]


def sample_of(machine: RBM, visible: Rows, weights: Float[Array, " C"] | None = None) -> Sample:
    """The units with the field that they make; weights of one by default."""
    machine, visible = lax.stop_gradient((machine, jnp.asarray(visible, machine.dtype)))
    if weights is None:
        weights = jnp.ones(visible.shape[0], machine.dtype)
    return Sample(visible, machine.hidden_field(visible), lax.stop_gradient(weights))


def likelihood_loss(
    machine: RBM | Machine[Float[Array, "... V"]],
    data: Rows,
    samples: Rows,
    weights: Float[Array, " C"] | None = None,
    *,
    offsets: Offsets | None = None,
) -> Float[Array, ""]:
    """mean F(data) - mean F(samples), whose gradient is that of the mean -log p(data), nats.

    Equal to it where the samples are those of the machine: d log Z = -E_p[dF]. No gradient passes
    through data, samples or weights.

    With offsets mu and lambda the gradient is the centred one (Melchior et al. 2016, Eqs. 8-10): of
    g, the plain one, G_W = g_W - mu g_b^T - g_a lambda^T, G_a = g_a - G_W lambda, G_b = g_b -
    G_W^T mu. It is the gradient in the parameters of a machine of v - mu and h - lambda, mapped
    back; it does not depend on which value of a bit is called one, and learns better.

    Args:
        machine: whose parameters learn. Of a machine on a graph, all of whose units are in the
            data, F is E; where some are hidden, give for data chains in which the others are
            clamped.
        data: datapoints.
        samples: of the negative phase.
        weights: of the samples, of mean one; all one by default.
        offsets: of centring; no gradient reaches them. None for the plain gradient.

    Raises:
        InputError: for shapes that do not meet, no rows, values that units cannot have, or offsets
            of another machine than an RBM.
    """
    data, samples = _rows("data", machine, data), _rows("samples", machine, samples)
    weights = None if weights is None else jnp.asarray(weights)
    if weights is not None and weights.shape != samples.shape[:1]:
        raise InputError(
            f"weights of the shape {weights.shape} for {samples.shape[0]} samples: give one of each"
        )
    if not isinstance(machine, RBM):
        if offsets is not None:
            raise InputError("offsets center an RBM: leave them out for a machine on a graph")
        return _energy_gap(machine, data, samples, weights)
    if offsets is not None:
        check_width("offsets.visible", offsets.visible.shape, machine.sizes[0])
        check_width("offsets.hidden", offsets.hidden.shape, machine.sizes[1])
    positive, negative = sample_of(machine, data), sample_of(machine, samples, weights)
    loss = surrogate(machine, positive, negative, offsets)
    return free_energy_gap(machine, positive, negative) + loss - lax.stop_gradient(loss)


def _rows(name: str, machine: RBM | Machine[Float[Array, "... V"]], rows: Rows) -> Array:
    """Datapoints in the machine's own type, once they are known to be what its units can be."""
    size = machine.sizes[0] if isinstance(machine, RBM) else machine.num_units
    if np.ndim(rows) != 2 or not np.shape(rows)[0]:
        raise InputError(f"{name} of the shape {np.shape(rows)}: give rows [n, {size}]")
    check_width(name, np.shape(rows), size)
    if is_concrete(rows):
        try:
            check_rows(np.asarray(rows), machine.families[0].support)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
    return jnp.asarray(rows, machine.dtype)


def _energy_gap(
    machine: Machine[Float[Array, "... V"]],
    data: Float[Array, "n V"],
    samples: Float[Array, "C V"],
    weights: Float[Array, " C"] | None,
) -> Float[Array, ""]:
    """mean E(data) - mean E(samples), nats."""
    data, samples = lax.stop_gradient((data, samples))
    share = 1.0 if weights is None else lax.stop_gradient(weights)
    return jnp.mean(machine.energy(data)) - jnp.mean(share * machine.energy(samples))


def surrogate(
    machine: RBM, positive: Sample, negative: Sample, offsets: Offsets | None
) -> Float[Array, ""]:
    """What has the gradient of `likelihood_loss`, by one product; the value means nothing.

    Args:
        machine: as in `likelihood_loss`, and so are the offsets.
        positive: the data.
        negative: the samples of the negative phase.
        offsets: of centring, or None.
    """
    both, share = _together(lax.stop_gradient((positive, negative)))
    v, h = both.visible, lax.stop_gradient(machine.hidden.mean(both.field))
    # The parameters of the families themselves, as precisions: none for bits.
    own = machine.visible.log_base(v) + machine.hidden.log_normalizer(both.field)
    # The shares add up to zero: offsets in one factor change no gradient of the other.
    of_visible, of_hidden = share, share
    if offsets is not None:
        mu, lam = lax.stop_gradient(offsets)
        v, h = v - mu, h - lam
        of_visible, of_hidden = share * (1 - h @ lam), share * (1 - v @ mu)
    return -(
        jnp.sum((share[:, None] * h) * (v @ machine.weights))
        + of_visible @ v @ machine.visible_bias
        + of_hidden @ h @ machine.hidden_bias
        + share @ own
    )


def free_energy_gap(machine: RBM, positive: Sample, negative: Sample) -> Float[Array, ""]:
    """mean F(data) - mean F(samples) of what is known of them, nats. Carries no gradient."""
    machine, positive, negative = lax.stop_gradient((machine, positive, negative))
    both, share = _together((positive, negative))
    linear = both.visible @ machine.visible_bias + machine.visible.log_base(both.visible)
    return -(share @ (linear + machine.hidden.log_normalizer(both.field)))


def _together(pair: tuple[Sample, Sample]) -> tuple[Sample, Float[Array, " C"]]:
    """Data and samples on one axis, and what each row counts: weight / count, samples negative."""
    positive, negative = pair
    count, other = positive.weights.size, negative.weights.size
    both = jax.tree.map(lambda *parts: jnp.concatenate(parts), positive, negative)
    share = jnp.concatenate([positive.weights / count, -negative.weights / other])
    return both, share
