"""The code of a datapoint: the mean of its latent under the recognition network."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Key, PyTree

from remjax.distributions.base import Distribution

# Where the mean has no closed form, so many estimates are averaged, some of them at a time.
_ESTIMATES, _AT_A_TIME = 100, 10


def code(r: Distribution, key: Key[Array, ""]) -> PyTree[Array]:
    """E_r[z] of ONE datapoint, in the form of its latent; of relaxed bits that of the bits.

    Exact where the mean has a closed form. Else the average of 100 unbiased estimates
    (`Distribution.estimated_mean`): of a hierarchy each is the mean of every layer given a draw of
    those before it, of a Boltzmann machine the mean of each side given a draw of the other, at the
    end of a chain of its own. Consumes the key, which is not used where there is a closed form.

    Args:
        r: r_eta(z | x).
        key: of the estimates.
    """
    bits = r.hard()
    if bits.mean is not None:
        return bits.estimated_mean(key)
    keys = jax.random.split(key, _ESTIMATES)
    estimates = lax.map(bits.estimated_mean, keys, batch_size=_AT_A_TIME)
    return jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), estimates)
