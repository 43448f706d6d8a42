"""The protocol of Vahdat et al. 2019: its cells, its figures, its claims, its toy problems."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments import undirected as command
from experiments.papers import undirected, undirected_toys
from experiments.papers.protocol import Plan
from experiments.papers.undirected_figures import FIGURES
from remjax.boltzmann import RBM


def _cells(scale, preset="dvae_release"):
    return list(undirected.cells(Plan(Path("DIR"), undirected.SCALES[scale], preset)))


def test_full_scale_is_the_paper():
    cells = _cells("full")
    places = [cell.place for cell in cells]
    # K = 1 of Table 2 is Table 1; without a shared context one group is the same network.
    same = {p for p in FIGURES if p[5] == "original" and p[3] == 1}
    assert sorted(places) == sorted(set(FIGURES) - same)
    for cell in cells:
        settings = cell.settings
        assert (settings.epochs, settings.batch_size, settings.num_replicas) == (2000, 100, 5)
        assert (settings.prior_phase, settings.prior_chains) == ("population", 1000)
        assert (settings.eval_num_particles, settings.eval_size) == (4000, 0)
        assert settings.method == ("dvae" if settings.num_particles == 1 else "dreg")
        machine = settings.posterior == "rbm"
        assert machine == (cell.place[2] == "rbm")
        if machine or settings.relaxation == "pwl":
            assert settings.sharpness == {"omniglot": 3.0}.get(settings.dataset, 4.0)


def test_paper_and_code_differ_where_they_do():
    """DV-6 and DV-8: where the KL term is taken, and the couplings of the posterior."""
    (paper,) = (c.settings for c in _cells("cpu", "dvae_paper") if c.settings.posterior == "rbm")
    (code,) = (c.settings for c in _cells("cpu") if c.settings.posterior == "rbm")
    assert (paper.method, paper.raw_heads) == ("stl", True)
    assert (code.method, code.raw_heads) == ("dvae", False)


def test_claims_are_of_runs_that_are_there():
    places = [cell.place for cell in _cells("full")]
    claims = list(undirected.claims(places))
    texts = {claim.text for claim in claims}
    assert {"machine above pwl, 1 group", "pwl: 4 groups above one"} < texts
    assert "pwl, 4 groups: shared context above none" in texts
    assert all({claim.better, claim.worse} <= set(places) for claim in claims)


@pytest.mark.exhaustive
def test_smoke_scale_writes_the_report(run_binary, tmp_path):
    done = run_binary(command, f"--run_dir={tmp_path}", "--scale=smoke")
    assert done.code == 0, done.stderr
    assert "| posterior | groups |" in done.stdout
    assert "modes of the prior" in done.stdout
    for name in ("table", "orderings", "structured", "modes", "samples", "annealing", "toys"):
        with Image.open(tmp_path / f"{name}.png") as image:
            assert min(image.size) > 50


def test_divergence_of_the_toy_machine_is_that_of_all_states():
    """Without couplings both sides are products, and the sum over 2^20 states is a mean of bits."""
    bias = jnp.asarray(np.random.default_rng(0).normal(size=20), jnp.float32)
    q = RBM(jnp.zeros((10, 10)), bias[:10], bias[10:])
    draws = jax.random.bernoulli(jax.random.key(0), jax.nn.sigmoid(bias), (20_000, 20))
    z = draws.astype(jnp.float32)
    log_q = z @ bias - jnp.sum(jax.nn.softplus(bias))
    gap = np.asarray(log_q - undirected_toys.log_mixture(z), np.float64)
    error = gap.std() / np.sqrt(len(gap))
    found = undirected_toys.machine((1,)).divergence(q)
    assert abs(float(found) - gap.mean()) < 4.5 * error


def test_toys_learn():
    """REINFORCE, sweeps and reparameterisation all lower the divergence."""
    toy = undirected_toys.gaussian((1, 2))
    assert set(toy.steps) == {"t = 1", "t = 2", "REINFORCE, mean subtracted", "reparameterised"}
    for step in toy.steps.values():
        line = undirected_toys.course(toy, step, updates=150, seeds=1)
        assert line.values[-1, 0] < 0.1 * line.values[0, 0]
