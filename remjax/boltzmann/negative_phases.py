"""Where the samples of the negative phase come from: contrastive divergence and its relatives.

The gradient of the mean negative log-likelihood is E_data[dF(v)] - E_p[dF(v)]; a negative phase
stands for the second expectation. Each is a frozen value, equal where it is made alike.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key, PyTree

from remjax import sharding
from remjax.boltzmann import strands
from remjax.boltzmann.gibbs import gibbs_steps
from remjax.boltzmann.likelihood import Sample, sample_of
from remjax.boltzmann.machine import check_count
from remjax.boltzmann.paths import bias_base, linear_inverse_temperatures
from remjax.boltzmann.phases import Advanced, Negative, NegativePhase, PhaseOfChains, State
from remjax.boltzmann.population import population_annealing
from remjax.boltzmann.rbm import RBM, Units
from remjax.boltzmann.tempering import Ladder, ladder_of, ladder_step
from remjax.particles.weights import normalize_log_weights
from remjax.types import Batch, Metrics


def cd(num_sweeps: int = 1) -> NegativePhase:
    """Contrastive divergence (Hinton 2002): chains of a few sweeps that begin at the datapoints.

    Its gradient leaves out how the end of a chain depends on the parameters (`trajectories`).

    Args:
        num_sweeps: Gibbs sweeps between updates, k.
    """
    return ContrastiveDivergence(check_count("num_sweeps", num_sweeps))


def pcd(num_chains: int = 100, num_sweeps: int = 1) -> NegativePhase:
    """Persistent contrastive divergence (Tieleman 2008): chains that go on from update to update.

    Args:
        num_chains: chains of the negative phase.
        num_sweeps: Gibbs sweeps between updates, k.
    """
    return Persistent(check_count("num_chains", num_chains), check_count("num_sweeps", num_sweeps))


def tempered_pcd(
    num_chains: int = 100, num_sweeps: int = 1, num_temperatures: int = 10
) -> NegativePhase:
    """Persistent chains with parallel tempering (Desjardins et al. 2010; Cho et al. 2010).

    Each chain is the end of a ladder of chains at lower inverse temperatures, linear from 0, the
    machine without couplings, to 1, which exchange places with their neighbours: they cross from
    mode to mode where a chain at temperature one would stay.

    Args:
        num_chains: chains of the negative phase.
        num_sweeps: Gibbs sweeps between updates, k.
        num_temperatures: chains of each ladder, two or more.
    """
    return Tempered(
        check_count("num_chains", num_chains),
        check_count("num_sweeps", num_sweeps),
        check_count("num_temperatures", num_temperatures, 2),
    )


def population(
    num_chains: int = 1000, num_sweeps: int = 1, num_temperatures: int = 40
) -> NegativePhase:
    """A population annealed afresh for every update, as Vahdat et al. 2019 have it (Section 4.1).

    Nothing persists, so that no chain can lag behind the parameters; log Z comes with every update.

    Args:
        num_chains: chains of the negative phase.
        num_sweeps: Gibbs sweeps at each inverse temperature.
        num_temperatures: inverse temperatures of the annealing, linear from the machine without
            couplings; 40 in the code of Vahdat et al.
    """
    return Population(
        check_count("num_chains", num_chains),
        check_count("num_sweeps", num_sweeps),
        check_count("num_temperatures", num_temperatures),
    )


@dataclasses.dataclass(frozen=True)
class ContrastiveDivergence(NegativePhase):
    """As `cd` makes it; each datapoint has a key, so that any device may have it."""

    num_sweeps: int

    def __str__(self) -> str:
        return f"chains of {_sweeps(self.num_sweeps)} from the datapoints"

    @property
    def needs_data(self) -> bool:
        """They do."""
        return True

    def init(self, key: Key[Array, ""], machine: RBM) -> State:
        """Nothing persists."""
        return ()

    def advance(self, key: Key[Array, ""], machine: RBM, state: State, batch: Batch) -> Advanced:
        """k sweeps from x: h ~ p(h | v), v ~ p(v | h) each."""

        def one(x: Float[Array, " V"], index: Int[Array, ""]) -> tuple[Array, Array]:
            key_first, key_steps = jax.random.split(jax.random.fold_in(key, index))
            field = machine.hidden_field(x)
            start = Units(x, machine.hidden.draw(key_first, field))
            units, info = gibbs_steps(key_steps, machine, start, self.num_sweeps)
            return units.visible, info.flip_rate

        visible, flips = jax.vmap(one)(batch.x, batch.index)
        return Negative(sample_of(machine, visible)), state, {"flip_rate": flips.mean()}


@dataclasses.dataclass(frozen=True)
class Persistent(PhaseOfChains):
    """As `pcd` makes it."""

    def __str__(self) -> str:
        return f"{self.num_chains} chains that persist, {_sweeps(self.num_sweeps)} each"

    def init(self, key: Key[Array, ""], machine: RBM) -> State:
        """Chains of the machine without its couplings: [S, C / S, ...], S strands."""
        units = bias_base(machine).draw_base(key, strands.layout(self.num_chains))
        return tuple(units)

    def advance(self, key: Key[Array, ""], machine: RBM, state: State, batch: Batch) -> Advanced:
        """k sweeps: v ~ p(v | h), h ~ p(h | v) each."""

        def strand(key: Key[Array, ""], units: PyTree[Array]) -> tuple[Units, Any, Array]:
            units, info = gibbs_steps(key, machine, Units(*units), self.num_sweeps)
            # The very product that the last sweep made: the compiler makes it once.
            return units, info, machine.hidden_field(units.visible)

        units, info, field = strands.on_own(strand, key, state)
        visible = strands.joined(units.visible)
        negative = Negative(Sample(visible, strands.joined(field), jnp.ones(visible.shape[0])))
        metrics = {"flip_rate": info.flip_rate, "chain_energy": info.energy}
        return negative, strands.of_all(tuple(units)), strands.means(metrics)


@dataclasses.dataclass(frozen=True)
class Tempered(PhaseOfChains):
    """As `tempered_pcd` makes it."""

    num_temperatures: int

    def __str__(self) -> str:
        return (
            f"{self.num_chains} ladders of {self.num_temperatures} chains that persist, "
            f"{_sweeps(self.num_sweeps)} each"
        )

    def init(self, key: Key[Array, ""], machine: RBM) -> State:
        """Chains of the machine without its couplings: [S, R, C / S, ...]."""
        num_strands, size = strands.layout(self.num_chains)
        shape = (num_strands, self.num_temperatures, size)
        units = bias_base(machine).draw_base(key, shape)
        return jax.vmap(ladder_of)(tuple(units), jnp.zeros(shape))

    def advance(self, key: Key[Array, ""], machine: RBM, state: State, batch: Batch) -> Advanced:
        """k sweeps of the ladders."""
        path = bias_base(machine)
        b = jnp.linspace(0.0, 1.0, self.num_temperatures)

        def strand(key: Key[Array, ""], ladder: Ladder) -> tuple[Ladder, Metrics]:
            ladder = ladder._replace(units=Units(*ladder.units))

            def step(number: Int[Array, ""], carry: Any) -> Any:
                return ladder_step(jax.random.fold_in(key, number), path, carry[0], b)

            first = ladder_step(jax.random.fold_in(key, 0), path, ladder, b)
            ladder, info = lax.fori_loop(1, self.num_sweeps, step, first)
            report = {
                "swap_rate": jnp.min(info.swap_rates),
                "round_trips": jnp.mean(info.round_trips),
            }
            return ladder._replace(units=tuple(ladder.units)), report

        ladders, metrics = strands.on_own(strand, key, state)
        visible = strands.joined(ladders.units[0][:, -1])
        return (
            Negative(sample_of(machine, visible)),
            strands.of_all(ladders),
            strands.means(metrics),
        )


@dataclasses.dataclass(frozen=True)
class Population(PhaseOfChains):
    """As `population` makes it; each strand is a population of its own."""

    num_temperatures: int

    def __str__(self) -> str:
        return f"{self.num_chains} chains annealed afresh over {self.num_temperatures} temperatures"

    def init(self, key: Key[Array, ""], machine: RBM) -> State:
        """Nothing persists."""
        return ()

    def advance(self, key: Key[Array, ""], machine: RBM, state: State, batch: Batch) -> Advanced:
        """All temperatures, from the machine without couplings."""
        num_strands, size = strands.layout(self.num_chains)
        schedule = linear_inverse_temperatures(self.num_temperatures)

        def strand(key: Key[Array, ""], _: Array) -> tuple[Units, Array, Metrics]:
            record = population_annealing(
                key,
                bias_base(machine),
                schedule,
                num_chains=size,
                num_populations=1,
                num_sweeps=self.num_sweeps,
            )
            return record.samples, record.log_weights, {"population_ess": record.ess}

        units, log_weights, of_strands = strands.on_own(strand, key, jnp.zeros(num_strands))
        everywhere = strands.of_all(log_weights).reshape(-1)
        weights = normalize_log_weights(everywhere) * self.num_chains
        # As many of them as this device has chains, from where its own begin.
        own = log_weights.size
        begin = own * sharding.particle_device()
        mine = lax.dynamic_slice_in_dim(weights, begin, own)
        log_z = jax.nn.logsumexp(everywhere) - math.log(self.num_chains)
        sample = sample_of(machine, strands.joined(units.visible), mine)
        families = num_strands * strands.means(of_strands)["population_ess"]
        return Negative(sample, log_z), state, {"log_z": log_z, "population_ess": families}


def _sweeps(count: int) -> str:
    return "1 sweep" if count == 1 else f"{count} sweeps"
