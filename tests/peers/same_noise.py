"""Recognition networks whose noise comes from given keys, so that a peer can draw the same."""

import dataclasses

import jax
from jax import lax

from remjax.distributions import DiagonalGaussian, Drawn
from remjax.types import Recognition


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SameNoise(DiagonalGaussian):
    """A Gaussian whose particle k is loc + scale * normal(keys[k])."""

    keys: jax.Array

    def rsample(self, key):
        return self.loc + self.scale * jax.random.normal(key, self.loc.shape)

    def particle(self, key, index):
        del key
        z = self.sample(self.keys[index])
        return Drawn(z, self.keys[index], lax.stop_gradient(self.log_prob(z)))


def same_noise(recognition, keys):
    """The network, of diagonal Gaussians, with the particles that these keys name."""

    def distribution(eta, x):
        r = recognition.r(eta, x)
        return SameNoise(r.loc, r.scale, keys)

    return Recognition(recognition.init, distribution)
