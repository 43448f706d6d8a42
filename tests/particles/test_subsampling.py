"""The kept particles: unbiased for every weighted sum, the heavy ones with their own weight."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from remjax.particles.subsampling import Reservoir, choose, empty_reservoir, merge_into_reservoir
from remjax.particles.weights import resample_systematic

KEYS = 20_000
LOG_W = np.array([2.0, -1.0, 0.5, -np.inf, -3.0, 0.0, 3.0, -1.5, -0.5, 0.2, -2.0, 1.0])
WEIGHTS = scipy.special.softmax(LOG_W)


def streamed(key, log_w, keep, chunk):
    """(index, share of the total) of the kept, the particles arriving in chunks."""
    kept = empty_reservoir(jnp.zeros(()), keep)
    for start in range(0, len(log_w), chunk):
        part = jnp.asarray(log_w[start : start + chunk], jnp.float32)
        index = jnp.arange(start, start + len(part))
        new = Reservoir(z=index * 10.0, index=index, log_w=part, log_share=part)
        kept = merge_into_reservoir(jax.random.fold_in(key, start), kept, new)
    return kept


def shares(keep, chunk, keys=KEYS, log_w=LOG_W):
    """[keys, K]: the share of the total weight that each particle stands for; 0 if not kept."""
    run = jax.jit(jax.vmap(lambda key: streamed(key, log_w, keep, chunk)))
    kept = jax.tree.map(np.asarray, run(jax.random.split(jax.random.key(0), keys)))
    result = np.zeros((keys, len(log_w)))
    share = np.exp(kept.log_share.astype(float) - scipy.special.logsumexp(log_w))
    np.add.at(result, (np.arange(keys)[:, None], kept.index), share)
    return result, kept


@pytest.mark.parametrize(("keep", "chunk"), [(1, 12), (1, 4), (4, 12), (4, 4), (7, 4)])
def test_shares_are_unbiased_and_their_total_is_exact(keep, chunk):
    """Bound of five standard errors over 20,000 keys, from the spread of the shares themselves."""
    share, kept = shares(keep, chunk)
    error = share.std(axis=0) / np.sqrt(KEYS)
    assert np.all(np.abs(share.mean(axis=0) - WEIGHTS) <= 5 * error + 1e-6)
    np.testing.assert_allclose(share.sum(axis=1), 1.0, rtol=1e-5)
    # What is kept is a particle that arrived, with its own weight and what it stands for.
    taken = kept.log_share > -np.inf
    np.testing.assert_array_equal(kept.z[taken], 10.0 * kept.index[taken])
    np.testing.assert_allclose(kept.log_w[taken], LOG_W[kept.index[taken]], rtol=1e-6)
    assert np.all(kept.log_share[taken] >= kept.log_w[taken] - 1e-5)


def test_one_place_is_a_draw_by_weight():
    share, kept = shares(1, 4)
    counts = np.bincount(kept.index[:, 0], minlength=len(LOG_W)) / KEYS
    assert np.all(np.abs(counts - WEIGHTS) <= 5 * np.sqrt(WEIGHTS * (1 - WEIGHTS) / KEYS))
    np.testing.assert_allclose(share.max(axis=1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("keep", [11, 12, 20])
def test_all_are_kept_when_there_is_room(keep):
    """There are eleven possible particles."""
    share, _ = shares(keep, 4, keys=20)
    np.testing.assert_allclose(share, np.broadcast_to(WEIGHTS, share.shape), rtol=1e-5)


def test_heavy_particles_keep_their_own_weight():
    """With four places the two particles above the threshold tau are there every time."""
    order = np.argsort(-WEIGHTS)
    rest = [WEIGHTS[order[h:]].sum() / (4 - h) for h in range(4)]
    heavy = next(h for h in range(4) if WEIGHTS[order[h]] <= rest[h])
    assert heavy == 2
    share, _ = shares(4, 12, keys=500)
    np.testing.assert_allclose(
        share[:, order[:2]], np.tile(WEIGHTS[order[:2]], (500, 1)), rtol=1e-5
    )
    light = share[:, order[2:]]
    np.testing.assert_allclose(light[light > 0], rest[2], rtol=1e-5)


@pytest.mark.parametrize("keep", [2, 4, 7])
def test_less_variance_than_systematic_resampling(keep):
    """Of each share; 5 % are allowed for the Monte Carlo error of a variance over 20,000 keys."""
    share, _ = shares(keep, 12)
    draw = jax.jit(
        jax.vmap(lambda key: resample_systematic(key, jnp.asarray(LOG_W, jnp.float32), keep))
    )
    indices = np.asarray(draw(jax.random.split(jax.random.key(1), KEYS)))
    resampled = np.zeros_like(share)
    np.add.at(resampled, (np.arange(KEYS)[:, None], indices), 1.0 / keep)
    assert np.all(share.var(axis=0) <= 1.05 * resampled.var(axis=0) + 1e-8)
    assert share.var(axis=0).sum() < 0.9 * resampled.var(axis=0).sum()


def test_nothing_to_keep(key):
    with jax.debug_nans(True):
        kept = streamed(key, np.full(5, -np.inf), 3, 2)
    np.testing.assert_array_equal(kept.log_share, np.full(3, -np.inf))
    assert np.all((kept.index >= 0) & (kept.index < 5))


def test_one_possible_particle_is_never_lost():
    share, _ = shares(3, 2, keys=50, log_w=np.array([-np.inf, -np.inf, -700.0, -np.inf, -np.inf]))
    np.testing.assert_allclose(share[:, 2], 1.0, rtol=1e-5)


def test_no_place_goes_to_an_impossible_item_for_rounding():
    """This key's uniform is so near 1 that the last tooth of 64 is rounded up to the total."""
    key = jax.random.key(5_991_920)
    assert 1.0 - jax.random.uniform(key) < 2.0**-19
    log_share = jnp.where(jnp.arange(128) < 100, 0.0, -jnp.inf)
    assert int(choose(key, log_share, 64)[0].max()) < 100


def test_ten_thousand_nats_apart():
    share, kept = shares(3, 5, keys=100, log_w=np.linspace(-1e4, 0.0, 10))
    np.testing.assert_allclose(share[:, -1], 1.0, rtol=1e-5)
    assert not np.any(np.isnan(kept.log_share))
