"""The matrix products of the decoder's forward pass and nothing else: the floor of an E-step."""

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks.peers.networks.work import (
    DATA_SIZE,
    HIDDEN_SIZE,
    LATENT_SIZE,
    TrainingWork,
    initial_weights,
)
from benchmarks.peers.work import Prepared
from remjax.errors import InputError

# Rows of one product: what the compiler multiplies fastest here, and no fewer than an E-step has.
_ROWS = 1000


def prepare(work: TrainingWork) -> Prepared:
    """The three products for B x K particles."""
    if work.method != "e_step":
        raise InputError("matrix products stand beside the forward pass alone")
    weights = [
        jnp.asarray(weight)
        for weight in initial_weights((LATENT_SIZE, HIDDEN_SIZE, HIDDEN_SIZE, DATA_SIZE))
    ]
    rows = work.batch_size * work.num_particles
    size = min(_ROWS, rows)
    z = jax.random.normal(jax.random.key(0), (size, LATENT_SIZE))

    def forward(z: jax.Array) -> jax.Array:
        # Each pass begins where the last ended, so that none can be left out.
        def one(_: jax.Array, z: jax.Array) -> jax.Array:
            hidden = z
            for weight in weights:
                hidden = hidden @ weight
            return z + 1e-6 * hidden[:, :LATENT_SIZE]

        return lax.fori_loop(0, -(-rows // size), one, z)

    compiled = jax.jit(forward).lower(z).compile()
    return Prepared(
        lambda: jax.block_until_ready(compiled(z)),
        compiled.memory_analysis().temp_size_in_bytes,
    )
