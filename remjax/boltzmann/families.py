"""What the units of a machine are: bits, or real numbers.

The units of a block are independent once the others are fixed, and each has an exponential family
with the natural parameter `field`, a linear function of the others (Welling et al. 2005, Eq. 4).
"""

import abc
import dataclasses
import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from remjax.boltzmann.bits import bits
from remjax.boltzmann.parameters import as_parameters
from remjax.boltzmann.pytrees import frozen_pytree
from remjax.types import Support

Temperature = Float[Array, "..."] | float


class Family(abc.ABC):
    """The exponential family of each unit of a block: base(z) exp(field z) / normaliser(field).

    Arrays are of any leading axes and one last axis, the units.
    """

    @abc.abstractmethod
    def log_base(self, z: Float[Array, "... N"]) -> Float[Array, "..."]:
        """sum_i log base(z_i), nats: what of the negative energy is not linear in the units."""

    @abc.abstractmethod
    def log_normalizer(self, field: Float[Array, "... N"]) -> Float[Array, "..."]:
        """sum_i log sum_z base(z) exp(field_i z), nats: the block summed (integrated) out."""

    @abc.abstractmethod
    def log_normalizer_difference(
        self, start: Float[Array, "... N"], change: Float[Array, "... N"]
    ) -> Float[Array, "..."]:
        """log_normalizer(start + change) - log_normalizer(start), exact for small changes too."""

    @abc.abstractmethod
    def mean(self, field: Float[Array, "... N"]) -> Float[Array, "... N"]:
        """E[z], the derivative of the normaliser."""

    @abc.abstractmethod
    def draw(
        self, key: Key[Array, ""], field: Float[Array, "... N"], temperature: Temperature = 1.0
    ) -> Float[Array, "... N"]:
        """Draws from p(z)^(1 / temperature), renormalised. Consumes the key; without gradient.

        Args:
            key: of all the draws.
            field: at temperature one.
            temperature: positive, one number or one for each of the leading axes.
        """

    @abc.abstractmethod
    def field_of(self, mean: Float[Array, "... N"]) -> Float[Array, "... N"]:
        """The field that gives a mean, which is kept off values that no field gives."""

    @property
    @abc.abstractmethod
    def support(self) -> Support:
        """The values of a unit, against which data are held."""


@frozen_pytree
@dataclasses.dataclass(frozen=True)
class Bits(Family):
    """Units of {0, 1}; the field is the log odds of one."""

    def log_base(self, z: Float[Array, "... N"]) -> Float[Array, "..."]:
        """Zero."""
        return jnp.zeros(z.shape[:-1], jnp.result_type(z, float))

    def log_normalizer(self, field: Float[Array, "... N"]) -> Float[Array, "..."]:
        """sum_i log(1 + exp(field_i))."""
        return jnp.sum(jax.nn.softplus(field), axis=-1)

    def log_normalizer_difference(
        self, start: Float[Array, "... N"], change: Float[Array, "... N"]
    ) -> Float[Array, "..."]:
        """sum_i log(1 + sigmoid(start_i) (exp(change_i) - 1)), or the difference where it is large.

        A difference of two rounded sums would lose what thousands of temperatures add up to.
        """

        def small() -> Float[Array, "..."]:
            # Under vmap both forms are computed: one not taken must not overflow in a gradient.
            held = jnp.clip(change, -1.0, 1.0)
            return jnp.sum(jnp.log1p(jax.nn.sigmoid(start) * jnp.expm1(held)), axis=-1)

        def large() -> Float[Array, "..."]:
            return jnp.sum(jax.nn.softplus(start + change) - jax.nn.softplus(start), axis=-1)

        return lax.cond(jnp.max(jnp.abs(change), initial=0.0) < 1.0, small, large)

    def mean(self, field: Float[Array, "... N"]) -> Float[Array, "... N"]:
        """sigmoid(field)."""
        return jax.nn.sigmoid(field)

    def draw(
        self, key: Key[Array, ""], field: Float[Array, "... N"], temperature: Temperature = 1.0
    ) -> Float[Array, "... N"]:
        """One with probability sigmoid(field / temperature)."""
        return bits(key, _cooled(field, temperature))

    def field_of(self, mean: Float[Array, "... N"]) -> Float[Array, "... N"]:
        """The log odds of the mean, which is kept between 0.01 and 0.99.

        A unit that never varies in the data has a finite field by that.
        """
        mean = jnp.clip(mean, 0.01, 0.99)
        return jnp.log(mean) - jnp.log1p(-mean)

    @property
    def support(self) -> Support:
        """Zero and one."""
        return Support(
            0.0, 1.0, "binarise them, as by (x > 0.5), or take real visible units", whole=True
        )


@frozen_pytree
@dataclasses.dataclass(frozen=True)
class Reals(Family):
    """Real units, Gaussian given the others: mean field / precision, variance 1 / precision.

    Attributes:
        log_precision: of each unit, a parameter as the weights are; zero for standardised data.
    """

    log_precision: Float[Array, " N"]

    def __post_init__(self) -> None:
        object.__setattr__(self, "log_precision", as_parameters(self.log_precision)[0])

    @property
    def precision(self) -> Float[Array, " N"]:
        """exp(log_precision)."""
        return jnp.exp(self.log_precision)

    def log_base(self, z: Float[Array, "... N"]) -> Float[Array, "..."]:
        """-1/2 sum_i precision_i z_i^2."""
        return -0.5 * jnp.sum(self.precision * jnp.square(z), axis=-1)

    def log_normalizer(self, field: Float[Array, "... N"]) -> Float[Array, "..."]:
        """sum_i field_i^2 / (2 precision_i) + 1/2 log(2 pi / precision_i)."""
        constant = math.log(2 * math.pi) - self.log_precision
        return 0.5 * jnp.sum(jnp.square(field) / self.precision + constant, axis=-1)

    def log_normalizer_difference(
        self, start: Float[Array, "... N"], change: Float[Array, "... N"]
    ) -> Float[Array, "..."]:
        """sum_i change_i (start_i + change_i / 2) / precision_i."""
        return jnp.sum(change * (start + 0.5 * change) / self.precision, axis=-1)

    def mean(self, field: Float[Array, "... N"]) -> Float[Array, "... N"]:
        """field / precision."""
        return field / self.precision

    def draw(
        self, key: Key[Array, ""], field: Float[Array, "... N"], temperature: Temperature = 1.0
    ) -> Float[Array, "... N"]:
        """Normal of mean field / precision and variance temperature / precision."""
        field, precision = lax.stop_gradient((field, self.precision))
        noise = jax.random.normal(key, field.shape, field.dtype)
        scale = jnp.sqrt(jnp.asarray(temperature, field.dtype))
        if scale.ndim:
            scale = scale[..., None]
        return field / precision + scale * noise / jnp.sqrt(precision)

    def field_of(self, mean: Float[Array, "... N"]) -> Float[Array, "... N"]:
        """precision times the mean."""
        return self.precision * mean

    @property
    def support(self) -> Support:
        """Any finite number."""
        return Support()


def _cooled(field: Float[Array, "... N"], temperature: Temperature) -> Float[Array, "... N"]:
    """The field at a temperature; at one, the very same numbers without an operation."""
    if isinstance(temperature, float | int) and temperature == 1.0:
        return field
    temperature = jnp.asarray(temperature, field.dtype)
    return field / (temperature[..., None] if temperature.ndim else temperature)
