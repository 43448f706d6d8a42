"""Restricted Boltzmann machines, and the exponential family harmoniums that they belong to."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, Shaped

from remjax.boltzmann.families import Bits, Family, Reals
from remjax.boltzmann.machine import Machine, check_count, check_width
from remjax.boltzmann.parameters import as_parameters
from remjax.boltzmann.pytrees import frozen_pytree
from remjax.data.checks import check_rows, is_concrete
from remjax.errors import InputError

VISIBLE, HIDDEN = 0, 1


# Data come as NumPy arrays, of bools or integers too.
Visible = Shaped[Array, "... V"] | Shaped[np.ndarray, "... V"]
Hidden = Shaped[Array, "... H"] | Shaped[np.ndarray, "... H"]


class Units(NamedTuple):
    """The units of an RBM, bits as numbers 0 and 1; the leading axes are those of the chains."""

    visible: Float[Array, "... V"]
    hidden: Float[Array, "... H"]


@frozen_pytree
@dataclasses.dataclass(frozen=True)
class RBM(Machine[Units]):
    """A restricted Boltzmann machine: p(v, h) = exp(-E(v, h)) / Z.

    E(v, h) = -(a v + b h + v W h), with units of {0, 1} (Smolensky 1986; the sign of Hinton 2002,
    and that of the code of Vahdat et al. 2019, whose paper prints the opposite one). With other
    families it is an exponential family harmonium (Welling et al. 2005), whose energy has -log
    base(v) - log base(h) besides: visible=Reals(log_precision) makes a Gaussian-Bernoulli RBM.

    Attributes:
        weights: W, [V, H].
        visible_bias: a, [V].
        hidden_bias: b, [H].
        visible: the family of the visible units.
        hidden: the family of the hidden units.
    """

    weights: Float[Array, "V H"]
    visible_bias: Float[Array, " V"]
    hidden_bias: Float[Array, " H"]
    visible: Family = dataclasses.field(default_factory=Bits)
    hidden: Family = dataclasses.field(default_factory=Bits)

    def __post_init__(self) -> None:
        sides = np.shape(self.visible_bias), np.shape(self.hidden_bias)
        if any(len(side) != 1 for side in sides) or np.shape(self.weights) != sides[0] + sides[1]:
            raise InputError(
                f"weights of the shape {np.shape(self.weights)} with biases of the shapes "
                f"{sides[0]} and {sides[1]}: give weights [V, H], and biases [V] and [H]"
            )
        if 0 in sides[0] + sides[1]:
            raise InputError(
                f"{sides[0][0]} visible and {sides[1][0]} hidden units: give one of each or more"
            )
        # Those of the families with the others: all of them are of one type.
        leaves, form = jax.tree.flatten((self.visible, self.hidden))
        own = (self.weights, self.visible_bias, self.hidden_bias)
        *parameters, weights, of_visible, of_hidden = as_parameters(*leaves, *own)
        visible, hidden = jax.tree.unflatten(form, parameters)
        values = (weights, of_visible, of_hidden, visible, hidden)
        for field, value in zip(dataclasses.fields(self), values, strict=True):
            object.__setattr__(self, field.name, value)
        for family, size in zip(self.families, self.sizes, strict=True):
            if isinstance(family, Reals):
                check_width("log_precision", np.shape(family.log_precision), size)

    @property
    def families(self) -> Sequence[Family]:
        """Visible, hidden: a sweep draws them in this order."""
        return self.visible, self.hidden

    @property
    def sizes(self) -> Sequence[int]:
        """V, H."""
        return self.visible_bias.shape[0], self.hidden_bias.shape[0]

    @property
    def biases(self) -> Sequence[Float[Array, " _"]]:
        """a, b."""
        return self.visible_bias, self.hidden_bias

    @property
    def widths(self) -> Units:
        """V, H."""
        return Units(*self.sizes)  # pyright: ignore[reportArgumentType]

    def field(self, block: int, units: Units) -> Float[Array, "... N"]:
        """The natural parameters of one side given the other."""
        if block == VISIBLE:
            return self.visible_field(units.hidden)
        return self.hidden_field(units.visible)

    def visible_field(self, h: Hidden) -> Float[Array, "... V"]:
        """a + W h: the log odds of the visible units given the hidden ones, where they are bits."""
        h = jnp.asarray(h, self.dtype)
        check_width("hidden units", h.shape, self.sizes[1])
        return h @ self.weights.T + self.visible_bias

    def hidden_field(self, v: Visible) -> Float[Array, "... H"]:
        """b + v W: the log odds of the hidden units given the visible ones, where they are bits."""
        v = jnp.asarray(v, self.dtype)
        check_width("visible units", v.shape, self.sizes[0])
        return v @ self.weights + self.hidden_bias

    def visible_mean(self, h: Hidden) -> Float[Array, "... V"]:
        """E[v | h]."""
        return self.visible.mean(self.visible_field(h))

    def visible_log_prob(self, v: Visible, h: Hidden) -> Float[Array, "..."]:
        """log p(v | h) = log base(v) + v (a + W h) - log normaliser(a + W h), nats.

        Their leading axes are broadcast. Gradients reach the parameters, v and h.

        Raises:
            InputError: for values that visible units cannot have.
        """
        v = jnp.asarray(self.checked_visible(v), self.dtype)
        field = self.visible_field(h)
        linear = jnp.vecdot(v, field)
        return self.visible.log_base(v) + linear - self.visible.log_normalizer(field)

    def hidden_mean(self, v: Visible) -> Float[Array, "... H"]:
        """E[h | v]."""
        return self.hidden.mean(self.hidden_field(v))

    def free_energy(self, v: Visible) -> Float[Array, "..."]:
        """F(v) = -log sum_h exp(-E(v, h)) = -a v - sum_j log(1 + exp(b_j + v W_j)), nats.

        p(v) = exp(-F(v)) / Z. Gradients reach the parameters and v.
        """
        v = jnp.asarray(v, self.dtype)
        log_sum = self.hidden.log_normalizer(self.hidden_field(v))
        return -(v @ self.visible_bias + self.visible.log_base(v) + log_sum)

    def hidden_free_energy(self, h: Hidden) -> Float[Array, "..."]:
        """-log sum_v exp(-E(v, h)), nats: `free_energy` of the hidden side."""
        h = jnp.asarray(h, self.dtype)
        log_sum = self.visible.log_normalizer(self.visible_field(h))
        return -(h @ self.hidden_bias + self.hidden.log_base(h) + log_sum)

    def log_prob(self, v: Visible, log_z: Float[Array, ""] | float) -> Float[Array, "..."]:
        """log p(v) = -F(v) - log Z, nats.

        Args:
            v: visible units.
            log_z: what `log_partition`, or an estimate of it, gives. An estimate of annealed
                importance sampling is too small on average, and a likelihood by it too large:
                report one by the reverse chains beside it (`boltzmann.bracket`).

        Raises:
            InputError: for values that visible units cannot have: a grey value has no probability.
        """
        return -self.free_energy(self.checked_visible(v)) - log_z

    def checked_visible(self, v: Visible) -> Visible:
        """The same, once they are known to be what visible units can be; traced ones by shape.

        Raises:
            InputError: for another number of units, or naming the first row and value that cannot
                be.
        """
        check_width("visible units", np.shape(v), self.sizes[0])
        if is_concrete(v):
            check_rows(np.asarray(v).reshape(-1, self.sizes[0]), self.visible.support)
        return v

    def rest(self, block: int, units: Units) -> Float[Array, "..."]:
        """The bias terms of the other side."""
        other = 1 - block
        z = units[other]
        return z @ self.biases[other] + self.families[other].log_base(z)

    def values(self, block: int, units: Units) -> Float[Array, "... N"]:
        """One side."""
        return units[block]

    def units(self, values: Sequence[Float[Array, "... _"]]) -> Units:
        """Both sides."""
        return Units(*values)

    def with_values(self, block: int, units: Units, values: Float[Array, "... N"]) -> Units:
        """One side replaced."""
        return Units(values, units.hidden) if block == VISIBLE else Units(units.visible, values)

    @property
    def transposed(self) -> "RBM":
        """The same distribution, the sides exchanged."""
        return RBM(self.weights.T, self.hidden_bias, self.visible_bias, self.hidden, self.visible)


def init_rbm(
    key: Key[Array, ""],
    num_hidden: int,
    data_mean: Shaped[Any, " V"],
    *,
    visible: Family | None = None,
    scale: float = 0.01,
) -> RBM:
    """An RBM to begin with: small weights, visible units with the means of the data.

    Args:
        key: of the weights, normal of standard deviation `scale`. Consumed.
        num_hidden: H.
        data_mean: [V], the mean of the training data. Where a pixel is constant, its bias is that
            of a mean of 0.01 or 0.99.
        visible: the family of the visible units; bits by default.
        scale: of the weights.

    Raises:
        InputError: for a number of units that is none, or means that visible units cannot have.
    """
    visible = Bits() if visible is None else visible
    known = np.asarray(data_mean, jnp.result_type(float)) if is_concrete(data_mean) else data_mean
    mean = checked_mean(visible, known)
    check_count("num_hidden", num_hidden)
    weights = scale * jax.random.normal(key, (mean.shape[0], num_hidden))
    blank = RBM(weights, jnp.zeros(mean.shape[0]), jnp.zeros(num_hidden), visible)
    return dataclasses.replace(blank, visible_bias=visible.field_of(jnp.asarray(mean)))


def checked_mean(visible: Family, mean: Shaped[Any, "..."]) -> Shaped[Any, " V"]:
    """The means of the columns of data, once they are known to be what units can have.

    Raises:
        InputError: for another shape, or a value that is not finite or outside of the support.
    """
    if mean.ndim != 1 or not mean.size:
        raise InputError(
            f"data_mean has the shape {mean.shape}: give [V], the means of the columns of the data"
        )
    if not is_concrete(mean):
        return mean
    odd = np.flatnonzero(~np.isfinite(mean))
    if odd.size:
        raise InputError(
            f"data_mean holds {mean[odd[0]]:g} in column {odd[0]}: drop or impute the rows whose "
            "value is not finite"
        )
    low, high, mend = visible.support[:3]
    slack = 1e-6  # a mean of ones may be rounded to more than one
    wrong = np.flatnonzero(~((mean >= low - slack) & (mean <= high + slack)))
    if wrong.size:
        raise InputError(
            f"data_mean holds {mean[wrong[0]]:g} in column {wrong[0]}: means are finite numbers in "
            f"[{low:g}, {high:g}]; {mend}"
        )
    return mean


def gaussian_units(data_std: Shaped[Any, " V"]) -> Reals:
    """Real visible units of the data's own scale: conditional variance that of the column.

    Args:
        data_std: [V], the standard deviations of the columns; a constant column has that of the
            others' mean, 1 if all are constant.

    Raises:
        InputError: for other than one number for each column, or a deviation that cannot be.
    """
    if np.ndim(data_std) != 1:
        raise InputError(
            f"data_std has the shape {np.shape(data_std)}: give [V], one for each column"
        )
    if is_concrete(data_std):
        numbers = np.asarray(data_std, np.float64)
        wrong = np.flatnonzero(~((numbers >= 0) & np.isfinite(numbers)))
        if wrong.size:
            raise InputError(
                f"data_std holds {numbers[wrong[0]]:g} in column {wrong[0]}: give finite standard "
                "deviations of 0 or more"
            )
    std = jnp.asarray(data_std, float)
    typical = jnp.where(jnp.any(std > 0), jnp.sum(std) / jnp.maximum(jnp.sum(std > 0), 1), 1.0)
    return Reals(-2.0 * jnp.log(jnp.where(std > 0, std, typical)))
