"""The linear-Gaussian model as one big Gaussian of all z and x, in NumPy float64.

Nothing of it is recursive: means and covariances of the stacked vector, and its conditionals.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np


class Truth(NamedTuple):
    """Of `linear_gaussian_model`."""

    theta: dict

    def part(self, name: str, leaf: str) -> np.ndarray:
        return np.asarray(self.theta[name][leaf], np.float64)

    def noise(self, name: str) -> np.ndarray:
        return np.diag(np.exp(2 * self.part(name, "log_scale")))

    def stacked(self, num_steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Mean and covariance of z [T D], then the map to x [T X, T D] and its offset."""
        a, b = self.part("transition", "weight"), self.part("transition", "bias")
        c, d = self.part("emission", "weight"), self.part("emission", "bias")
        mean = [self.part("initial", "loc")]
        size = len(b)
        # z = M noise + mean: the noise of step s reaches step t through A^(t - s).
        mixing = np.zeros((num_steps * size, num_steps * size))
        spread = np.zeros_like(mixing)
        for t in range(num_steps):
            at = slice(t * size, (t + 1) * size)
            spread[at, at] = self.noise("initial" if t == 0 else "transition")
            for s in range(t + 1):
                power = np.linalg.matrix_power(a, t - s)
                mixing[at, s * size : (s + 1) * size] = power
            if t:
                mean.append(a @ mean[-1] + b)
        to_x = np.kron(np.eye(num_steps), c)
        return np.concatenate(mean), mixing @ spread @ mixing.T, to_x, np.tile(d, num_steps)

    def posterior(self, x: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """log p(x), and mean [T, D] and covariances [T, D, D] of z_t given all of x.

        Rows of NaN are left out of x.
        """
        num_steps, width = x.shape
        mean, covariance, to_x, offset = self.stacked(num_steps)
        seen = np.repeat(~np.isnan(x).all(axis=1), width)
        to_x, offset, values = to_x[seen], offset[seen], x.reshape(-1).astype(np.float64)[seen]
        noise = np.kron(np.eye(num_steps), self.noise("emission"))[np.ix_(seen, seen)]
        of_x = to_x @ covariance @ to_x.T + noise
        surprise = values - to_x @ mean - offset
        solved = np.linalg.solve(of_x, surprise)
        log_p = -0.5 * (surprise @ solved + np.linalg.slogdet(2 * np.pi * of_x)[1])
        gain = covariance @ to_x.T @ np.linalg.inv(of_x)
        after = covariance - gain @ to_x @ covariance
        size = len(mean) // num_steps
        blocks = [
            after[t * size : (t + 1) * size, t * size : (t + 1) * size] for t in range(num_steps)
        ]
        return float(log_p), (mean + gain @ surprise).reshape(num_steps, size), np.stack(blocks)


def example(latent_size: int = 2, data_size: int = 3, seed: int = 0) -> Truth:
    """A model that turns and shrinks its latent, with noise of all sizes."""
    rng = np.random.default_rng(seed)
    angle = 0.7
    turn = np.eye(latent_size)
    if latent_size > 1:
        turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]

    def leaf(values):
        return jnp.asarray(values, jnp.float32)

    return Truth(
        {
            "initial": {
                "loc": leaf(rng.normal(size=latent_size)),
                "log_scale": leaf(0.3 * rng.normal(size=latent_size)),
            },
            "transition": {
                "weight": leaf(0.9 * turn),
                "bias": leaf(0.2 * rng.normal(size=latent_size)),
                "log_scale": leaf(-0.5 + 0.3 * rng.normal(size=latent_size)),
            },
            "emission": {
                "weight": leaf(rng.normal(size=(data_size, latent_size))),
                "bias": leaf(rng.normal(size=data_size)),
                "log_scale": leaf(-0.3 + 0.3 * rng.normal(size=data_size)),
            },
        }
    )
