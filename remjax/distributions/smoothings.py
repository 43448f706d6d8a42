"""Relaxations that mix a smoothing density for each bit: zeta ~ (1 - q) r(. | 0) + q r(. | 1).

zeta is the inverse of the mixture's distribution function at 1 - u. Where r(zeta | 0) and
r(zeta | 1) overlap, zeta > 1/2 is the bit 1 but for the uniform numbers within the overlap. Those
of which both are densities are `Smoothing`s.
"""

import abc
import dataclasses
import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from remjax.distributions.relaxations import (
    Relaxation,
    Smooth,
    above_zero,
    check_positive,
    logs_inside,
)
from remjax.errors import InputError

# Newton's steps for the power function, which starts within a factor of two of the solution and
# converges from one side.
_STEPS = 6
# Where the inverse function is steeper than one over this, its slope is cut off.
_LEAST = 1e-30


class Smoothing(Smooth):
    """A relaxation that mixes two densities: log r(zeta | 0) and log r(zeta | 1) are known."""

    @abc.abstractmethod
    def log_densities(
        self, zeta: Float[Array, "*shape"]
    ) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
        """log r(zeta | 0) and log r(zeta | 1), elementwise, nats. The gradient reaches zeta.

        Args:
            zeta: numbers in [0, 1], as in `Smooth.log_density`.
        """

    def log_density(
        self, zeta: Float[Array, "*shape"], logits: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """As `Smooth.log_density`: log((1 - q) r(zeta | 0) + q r(zeta | 1))."""
        zero, one = self.log_densities(zeta)
        return jnp.logaddexp(jax.nn.log_sigmoid(-logits) + zero, jax.nn.log_sigmoid(logits) + one)


def as_smoothing(relaxation: Relaxation | None) -> Smoothing:
    """The same, once it is known to be a smoothing.

    Raises:
        InputError: for a relaxation without a density for each bit.
    """
    if isinstance(relaxation, Smoothing):
        return relaxation
    raise InputError(
        f"the smoothing is {relaxation}, which has no density for each of the two bits: give "
        "distributions.PowerFunction() or OverlappingExponentials()"
    )


@dataclasses.dataclass(frozen=True)
class SpikeAndExponential(Relaxation):
    """zeta = 0 for the bit 0, an exponential density rising to 1 for the bit 1 (Rolfe 2017).

    r(zeta | 1) = beta exp(beta zeta) / (exp(beta) - 1). zeta > 0 where the bit is 1, and only
    there. E[zeta] = q m, where m = 1 / (1 - exp(-beta)) - 1 / beta. It has an atom at 0, hence no
    density.

    Attributes:
        beta: steepness, above 0: the larger, the nearer to bits.
    """

    beta: float = 4.0

    def __post_init__(self) -> None:
        """Refuse a beta that is not positive."""
        check_positive("beta", self.beta)

    def relax(
        self, uniform: Float[Array, "*shape"], logits: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """As `Relaxation.relax`: 1 + log((1 - u/q) + exp(-beta) u/q) / beta where u < q, else 0."""
        uniform = lax.stop_gradient(uniform)
        is_one = uniform < jax.nn.sigmoid(logits)
        # u / q = u (1 + exp(-logits)), of those alone that have it below 1; below -80 u is 0.
        held = jnp.maximum(jnp.where(is_one, logits, 0.0), -80.0)
        share = jnp.minimum(jnp.where(is_one, uniform, 0.0) * (1.0 + jnp.exp(-held)), 1.0)
        inside = jnp.maximum(1.0 - share + math.exp(-self.beta) * share, _LEAST)
        # Near one the logarithm over a small beta would have no digits of its difference from one.
        below_one = jnp.maximum(math.expm1(-self.beta) * share, -0.5)
        log_inside = jnp.where(below_one > -0.5, jnp.log1p(below_one), jnp.log(inside))
        return jnp.where(is_one, jnp.clip(1.0 + log_inside / self.beta, 0.0, 1.0), 0.0)

    def __str__(self) -> str:
        """As a formula."""
        return f"spike and exponential(beta {self.beta:g})"


@dataclasses.dataclass(frozen=True)
class OverlappingExponentials(Smoothing):
    """Two exponential densities, falling from 0 and rising to 1 (DVAE++, Vahdat et al. 2018b).

    r(zeta | 0) = exp(-beta zeta) / Z and r(zeta | 1) = exp(beta (zeta - 1)) / Z, where
    Z = (1 - exp(-beta)) / beta. E[zeta] = (1 - q) (1 - m) + q m, where
    m = 1 / (1 - exp(-beta)) - 1 / beta. Half of the gradient of E[zeta] comes from uniform numbers
    that lie within about exp(-beta / 2) of q: above beta 20 few draws meet them.

    Attributes:
        beta: steepness, above 0: the larger, the nearer to bits.
    """

    beta: float = 10.0

    def __post_init__(self) -> None:
        """Refuse a beta that is not positive."""
        check_positive("beta", self.beta)

    def relax(
        self, uniform: Float[Array, "*shape"], logits: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """As `Relaxation.relax`: the positive root of a quadratic equation in exp(beta zeta).

        q exp(y) - (1 - q) exp(-y) = c / s with y = beta (zeta - 1/2), s = exp(-beta / 2) and
        c = (q - u) - s^2 (1 - u - q), solved for the larger of the two exponentials.
        """
        uniform = lax.stop_gradient(uniform)
        if self.beta < 1.0:
            y = self._of_soft_ones(uniform, jax.nn.sigmoid(logits))
            return jnp.clip(0.5 + y / self.beta, 0.0, 1.0)
        q, s = jax.nn.sigmoid(logits), math.exp(-0.5 * self.beta)
        c = (q - uniform) - s * s * (1.0 - uniform - q)
        log_q, log_rest = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
        # The larger of q exp(y) and (1 - q) exp(-y), times s, is (|c| + sqrt(c^2 + o^2)) / 2 with
        # o = 2 s sqrt(q (1 - q)): in logarithms, since squares may be too small for a float.
        log_size = jnp.log(jnp.where(c > 0.0, c, -c) + _LEAST)
        log_overlap = math.log(2.0) - 0.5 * self.beta + 0.5 * (log_q + log_rest)
        log_root = 0.5 * jnp.logaddexp(2.0 * log_size, 2.0 * log_overlap)
        larger = jnp.logaddexp(log_size, log_root) - math.log(2.0) + 0.5 * self.beta
        y = jnp.where(c > 0.0, larger - log_q, log_rest - larger)
        return jnp.clip(0.5 + y / self.beta, 0.0, 1.0)

    def _of_soft_ones(
        self, uniform: Float[Array, "*shape"], q: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """The same y, by the root t = exp(y) - 1 of q t^2 + (1 - d) t - d = 0.

        d = c / s - (2 q - 1), of the order of beta as t is: for a small beta both keep their
        digits, of which the exponentials near one have none.
        """
        half = 0.5 * self.beta
        d = 4.0 * math.sinh(0.5 * half) ** 2 * q - 2.0 * math.sinh(half) * uniform
        d = d - math.expm1(-half)
        root = jnp.sqrt(jnp.square(1.0 - d) + 4.0 * q * d)
        return jnp.log1p(2.0 * d / (1.0 - d + root))

    def log_densities(
        self, zeta: Float[Array, "*shape"]
    ) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
        """As `Smoothing.log_densities`; exact at the ends too."""
        log_size = math.log(-math.expm1(-self.beta) / self.beta)
        return -self.beta * zeta - log_size, self.beta * (zeta - 1.0) - log_size

    def __str__(self) -> str:
        """As a formula."""
        return f"overlapping exponentials(beta {self.beta:g})"


@dataclasses.dataclass(frozen=True)
class PowerFunction(Smoothing):
    """Two power functions, infinite at 0 and at 1 (DVAE#, Vahdat et al. 2018a).

    r(zeta | 0) = zeta^(1/beta - 1) / beta and r(zeta | 1) = (1 - zeta)^(1/beta - 1) / beta.
    E[zeta] = ((1 - q) + q beta) / (1 + beta). Close to 1 float32 has few numbers, and most of those
    of the bit 1 are 1 itself.

    Attributes:
        beta: steepness, above 1: the larger, the nearer to bits.
    """

    beta: float = 30.0

    def __post_init__(self) -> None:
        """Refuse a beta that is not above 1."""
        if not (math.isfinite(self.beta) and self.beta > 1.0):
            raise InputError(f"beta is {self.beta}: give a finite number above 1")

    def relax(
        self, uniform: Float[Array, "*shape"], logits: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """As `Relaxation.relax`: the distribution function, inverted by Newton's method.

        Its gradient is that of the implicit function. By symmetry only the half below 1/2 is
        solved, where `near` is the bit whose density is infinite at that end, and `tail` the
        probability from that end to zeta.
        """
        uniform = lax.stop_gradient(uniform)
        middle = 2.0 ** (-1.0 / self.beta)
        q, rest = jax.nn.sigmoid(logits), jax.nn.sigmoid(-logits)
        is_upper = lax.stop_gradient(uniform < middle * q + (1.0 - middle) * rest)
        log_tail = jnp.log(above_zero(jnp.where(is_upper, uniform, 1.0 - uniform)))
        towards = jnp.where(is_upper, logits, -logits)
        zeta = self._from_end(
            jax.nn.log_sigmoid(towards) - log_tail, jax.nn.log_sigmoid(-towards) - log_tail
        )
        return jnp.where(is_upper, 1.0 - zeta, zeta)

    def _from_end(
        self, near: Float[Array, "*shape"], far: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """The zeta up to 1/2 at which exp(near) zeta^(1/b) + exp(far) (1 - (1 - zeta)^(1/b)) = 1.

        Newton's method in a = zeta^(1/b): the left side rises and is convex in a, so from a start
        where it is 1 or more the steps go down to the solution. Each part by itself gives such a
        start, the second for its tangent at 0, and so does 1/2.

        Args:
            near: log of the probability of the bit at this end, over the tail.
            far: log of the probability of the other bit, over the tail.
        """
        beta, held = self.beta, lax.stop_gradient((near, far))
        log_a = jnp.minimum(-held[0], (math.log(beta) - held[1]) / beta)
        log_a = jnp.minimum(log_a, -math.log(2.0) / beta)

        def step(near: Array, far: Array, log_a: Array) -> Array:
            zeta = jnp.exp(beta * log_a)
            log_rest = jnp.log1p(-zeta)
            own, other = jnp.exp(near + log_a), jnp.exp(far) * -jnp.expm1(log_rest / beta)
            slope = own + jnp.exp(far + beta * log_a + (1.0 / beta - 1.0) * log_rest)
            excess = (own + other - 1.0) / lax.stop_gradient(slope)
            # Rounding alone brings the excess to 1; a falls to half at most.
            return log_a + jnp.log1p(-jnp.minimum(excess, 0.5))

        for _ in range(_STEPS):
            log_a = step(*held, log_a)
        # The last step has the gradient of the implicit function: the excess moves with the log
        # odds, over the slope.
        return jnp.exp(beta * step(near, far, lax.stop_gradient(log_a)))

    def log_densities(
        self, zeta: Float[Array, "*shape"]
    ) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
        """As `Smoothing.log_densities`."""
        log_zeta, log_rest = logs_inside(zeta)
        power, log_size = 1.0 / self.beta - 1.0, math.log(self.beta)
        return power * log_zeta - log_size, power * log_rest - log_size

    def __str__(self) -> str:
        """As a formula."""
        return f"power function(beta {self.beta:g})"
