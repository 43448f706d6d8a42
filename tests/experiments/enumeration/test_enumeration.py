"""Tier 3: what every estimator of bits claims about its expected gradient holds, draw by draw."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.enumeration import __main__ as enumeration
from experiments.enumeration.cases import TWO_LAYERS, rows
from experiments.enumeration.claims import BOUND, LOWER_BOUND
from experiments.enumeration.tiny_networks import network
from remjax.methods.proposals import from_defensive, from_r, from_s
from remjax.methods.rem import rem, rem_v1, rem_v2
from remjax.methods.wake_sleep import rws_defensive
from remjax.particles.covariances import shrunk_with_mean, weighted


def _once_for_each_method():
    """Of every method the case of fewest particles from two on; the others are exhaustive."""
    often = {}
    for case in sorted(enumeration.CASES, key=lambda case: (case.num_particles < 2, case[1])):
        often.setdefault(case.name, case)
    return [
        pytest.param(
            case,
            id=f"{case.method} {case.num_particles}",
            marks=[] if case in often.values() else pytest.mark.exhaustive,
        )
        for case in enumeration.CASES
    ]


@pytest.mark.parametrize("case", _once_for_each_method())
def test_expected_gradient_is_the_claimed_one(case):
    """Each element to 1e-5: what float32 leaves of sums over all draws."""
    found = rows(case)
    assert [row["gradient"] for row in found] == ["theta", "eta"]
    assert all(row["deviation"] < 1e-5 for row in found)


def test_a_claim_that_does_not_hold_is_seen():
    """REINFORCE of two particles is not the gradient of L_2; nor is any gradient zero."""
    case = next(case for case in enumeration.CASES if case[:2] == ("reinforce", 2))
    theta, eta = rows(case._replace(theta=BOUND, eta=BOUND))
    assert min(theta["deviation"], eta["deviation"]) > 1e-2
    nothing = LOWER_BOUND._replace(loss=lambda net, params, _: 0.0 * net.bound(params, 1))
    theta, eta = rows(case._replace(theta=nothing, eta=nothing))
    assert min(theta["deviation"], eta["deviation"]) > 1e-2


def test_bounds_grow_with_the_number_of_particles():
    """Theorem 1 of Burda et al. 2015, exactly: L_1 < L_2 < L_3 < log p(x)."""
    net = network(TWO_LAYERS)

    @jax.jit
    def run(params):
        exact = jax.scipy.special.logsumexp(net.log_joint(params.theta))
        return jnp.stack([*(net.bound(params, count) for count in (1, 2, 3)), exact])

    bounds = run(net.params)
    assert np.all(np.diff(bounds) > 1e-3)


def test_methods_of_two_proposals_are_those_enumerated():
    bits, shrunk = from_s(weighted()), from_s(shrunk_with_mean())
    assert rws_defensive() == rem(from_r, from_defensive(0.2))
    assert rem_v1(weighted()) == rem(from_r, bits)
    assert rem_v1() == rem(from_r, shrunk)
    assert rem_v2(weighted()) == rem(bits, bits)


def test_binary_writes_the_rows_that_it_prints(tmp_path, run_binary):
    done = run_binary(enumeration, "--methods=rloo,disarm", f"--json={tmp_path / 'rows.json'}")
    assert (done.code, done.stderr) == (0, "")
    found = json.loads((tmp_path / "rows.json").read_text())
    assert [(row["method"], row["num_particles"], row["gradient"]) for row in found] == [
        (method, count, gradient)
        for method, count in (("rloo", 2), ("rloo", 3), ("disarm", 2))
        for gradient in ("theta", "eta")
    ]
    keys = ["method", "num_particles", "gradient", "claim", "deviation"]
    assert all(list(row) == keys for row in found)
    assert len(done.stdout.splitlines()) == 2 + len(found)
    assert all(f"{row['deviation']:.1e}" in done.stdout for row in found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--methods=iwae"],
            "--methods=iwae needs real latents, and bits are enumerated: use some",
        ),
        (["--methods=rlo"], "--methods=rlo is not known: use one of rloo"),
        (["--methods=rloo", "--json=nowhere/rows.json"], "is in no folder that exists"),
    ],
)
def test_bad_input_is_one_line(arguments, message, run_binary, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run_binary(enumeration, *arguments)
    assert done.code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
