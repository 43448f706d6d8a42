"""What an E-step knows of p(z | x): moments, evidence, kept particles; and one particle of it."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from remjax.distributions.base import Distribution
from remjax.errors import InputError
from remjax.particles.moments import Moments, log_power
from remjax.particles.subsampling import Reservoir


class Particle(NamedTuple):
    """One particle, as the summand of `particle_sum` sees it. Carries no gradient.

    Attributes:
        z: the latent.
        noise: what `rsample` makes the same z of (`Drawn`).
        weight: the self-normalised weight among all K particles.
        log_w: the unnormalised log-weight, nats.
        num_particles: K.
        foreign: as that of the `Posterior`.
    """

    z: PyTree
    noise: PyTree
    weight: Float[Array, ""]
    log_w: Float[Array, ""]
    num_particles: int
    foreign: bool = False

    def z_along(self, proposal: Distribution) -> PyTree:
        """z with the gradient of the proposal that drew it, through the draw (reparameterised).

        Raises:
            InputError: for a particle of another distribution, to which that path does not lead.
        """
        if self.foreign:
            raise InputError(
                "a gradient through z needs particles of the recognition network: choose "
                "hyperproposal=from_r, or a hyperobjective that takes z as it is"
            )
        # With the very array z as its value, and not a second draw of it, the compiler sees that a
        # decoder applied to either is applied once.
        return _z_along(self.z, proposal.rsample(self.noise))


@jax.custom_jvp
def _z_along(z: PyTree, path: PyTree) -> PyTree:
    """The value of z with the tangent of the path."""
    del path
    return z


@_z_along.defjvp
def _(primals: tuple[PyTree, PyTree], tangents: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
    return primals[0], tangents[1]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Posterior:
    """What an E-step knows of p(z | x): no larger for more particles (but for `log_joints`).

    Carries no gradient.

    Attributes:
        key: names the stream of particles (`proposal.particle`).
        proposal: the distribution that they come from.
        moments: streamed moments; the first row is that of the weights themselves.
        kept: the M particles that stand for all, or None when all take part (keep=None).
        drawn: z, noise and log-weights of all particles, where they are one chunk; else None.
        log_joints: log p(x, z_k) of every particle in turn, nats, or None where not recorded.
        num_particles: K.
        chunk_size: particles held in memory at a time.
        powers: the powers of the weights that the rows of `moments` belong to.
        foreign: whether the particles are known to be of another distribution than the recognition
            network's.
        kl_weight: the power of p(z) / r(z) in the weights (`types.Joint`).
    """

    key: Key[Array, ""]
    proposal: Distribution
    moments: Moments
    kept: Reservoir | None
    drawn: tuple[PyTree, PyTree, Float[Array, " C"]] | None
    log_joints: Float[Array, " K"] | None
    kl_weight: Float[Array, ""] | float = dataclasses.field(default=1.0, kw_only=True)
    num_particles: int = dataclasses.field(metadata={"static": True})
    chunk_size: int = dataclasses.field(metadata={"static": True})
    powers: tuple[float, ...] = dataclasses.field(default=(1.0,), metadata={"static": True})
    foreign: bool = dataclasses.field(default=False, metadata={"static": True})

    @property
    def log_evidence(self) -> Float[Array, ""]:
        """log 1/K sum_k w_k in nats, the single-draw estimate of L_K (Burda et al. 2015, Eq. 8)."""
        return self.moments.log_total[0] - jnp.log(float(self.num_particles))

    @property
    def ess(self) -> Float[Array, ""]:
        """Effective sample size of the weights, between 1 and K."""
        return self.moments.ess[0]

    @property
    def mean(self) -> Float[Array, " D"]:
        """The weighted mean of the (flattened) particles."""
        return self.moments.mean[0]

    @property
    def covariance(self) -> Float[Array, "D D"]:
        """The weighted covariance of the (flattened) particles."""
        return self.moments.covariance[0]

    @property
    def particles(self) -> PyTree:
        """The M kept particles; None with keep=None."""
        return None if self.kept is None else self.kept.z

    @property
    def weights(self) -> Float[Array, " M"] | None:
        """The normalised weights of the kept particles; None with keep=None."""
        if self.kept is None:
            return None
        return self.normalize(self.kept.log_share)

    def under(self, powers: tuple[float, ...]) -> Moments:
        """The rows of the moments for these powers, all of them streamed.

        Raises:
            InputError: for another power.
        """
        if powers == self.powers:
            return self.moments
        rows = [self._row(power) for power in powers]
        return jax.tree.map(lambda leaf: jnp.stack([leaf[row] for row in rows]), self.moments)

    def tempered(self, particle: Particle, power: float) -> Float[Array, ""]:
        """w^power / sum_j w_j^power of a particle, for a power that was streamed.

        Raises:
            InputError: for another power.
        """
        return self.normalize(log_power(particle.log_w, power), self._row(power))

    def mean_log_w(self, power: float) -> Float[Array, ""]:
        """sum_k v_k log w_k in nats, v proportional to w^power, for a power that was streamed.

        Raises:
            InputError: for another power.
        """
        return self.moments.mean_log_w[self._row(power)]

    def _row(self, power: float) -> int:
        if power not in self.powers:
            raise InputError(
                f"the weights were not streamed under the power {power}: "
                "give it to e_step, or name it among the `powers` of the objective or the proposal"
            )
        return self.powers.index(power)

    def log_total_of_others(self, particle: Particle) -> Float[Array, ""]:
        """log sum_{j != k} w_j in nats, for particle k; -inf where there are no others.

        Exact to rounding even where particle k outweighs all others by thousands of nats.
        """
        largest, total, log_rest = (
            field[0] for field in (self.moments.largest, self.moments.total, self.moments.log_rest)
        )
        finite = jnp.where(largest == -jnp.inf, 0.0, largest)
        w = jnp.exp(particle.log_w - finite)
        # Whoever has more than half of the total is the largest; nobody else's share cancels.
        is_most = w > 0.5 * total
        remaining = jnp.where(is_most | (total == 0.0), 1.0, total - w)
        log_remaining = jnp.where(is_most, log_rest, jnp.log(remaining))
        return jnp.where(largest == -jnp.inf, -jnp.inf, finite + log_remaining)

    def mean_log_w_of_others(self, particle: Particle) -> Float[Array, ""]:
        """1/(K-1) sum_{j != k} log w_j in nats, for particle k; needs K >= 2.

        -inf for every k where any particle is impossible.
        """
        log_sum = self.moments.log_sum[0]
        possible = log_sum != -jnp.inf
        others = log_sum - jnp.where(possible, particle.log_w, 0.0)
        return others / (self.num_particles - 1)

    def normalize(self, log_w: Float[Array, "*C"], row: int = 0) -> Float[Array, "*C"]:
        """The self-normalised weights of some of the particles; 0 where none is possible.

        For a row of another power, log_w is that of the weights so tempered.
        """
        # Through the largest weight and not log_total, whose rounding at hundreds of nats would be
        # a factor common to all weights.
        largest, total = self.moments.largest[row], self.moments.total[row]
        possible = largest != -jnp.inf
        w = jnp.exp(log_w - jnp.where(possible, largest, 0.0))
        return w / jnp.where(possible, total, 1.0)
