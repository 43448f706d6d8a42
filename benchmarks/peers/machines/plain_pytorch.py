"""Eager PyTorch, written plainly: `torch.bernoulli` of sigmoids; PCD with a centred gradient."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.nn.functional import softplus

from benchmarks.peers.machines import work as shared
from benchmarks.peers.machines.work import CENTRING, LEARNING_RATE, MachineWork
from benchmarks.peers.torch_device import choose_device, finish
from benchmarks.peers.work import Prepared


class Machine(NamedTuple):
    """Weights [V, H] and the biases."""

    weights: torch.Tensor
    visible_bias: torch.Tensor
    hidden_bias: torch.Tensor

    def visible_mean(self, h: torch.Tensor) -> torch.Tensor:
        """p(v = 1 | h)."""
        return torch.sigmoid(torch.addmm(self.visible_bias, h, self.weights.T))

    def hidden_mean(self, v: torch.Tensor) -> torch.Tensor:
        """p(h = 1 | v)."""
        return torch.sigmoid(torch.addmm(self.hidden_bias, v, self.weights))


class Offsets(NamedTuple):
    """Moving averages of the means of the units."""

    visible: torch.Tensor
    hidden: torch.Tensor


def gibbs_sweep(machine: Machine, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The visible units, and the hidden ones after them."""
    v = torch.bernoulli(machine.visible_mean(h))
    return v, torch.bernoulli(machine.hidden_mean(v))


def update(machine: Machine, offsets: Offsets, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """One update of machine and offsets in place; returns the hidden units of the chains."""
    v = torch.bernoulli(machine.visible_mean(h))
    of_chains, of_data = machine.hidden_mean(v), machine.hidden_mean(x)
    mu, lam = offsets
    weights = (x - mu).T @ (of_data - lam) / len(x) - (v - mu).T @ (of_chains - lam) / len(v)
    visible_mean, hidden_mean = x.mean(dim=0), of_data.mean(dim=0)
    visible = visible_mean - v.mean(dim=0) - weights @ lam
    hidden = hidden_mean - of_chains.mean(dim=0) - mu @ weights
    for parameter, gradient in zip(machine, (weights, visible, hidden), strict=True):
        parameter.add_(gradient, alpha=LEARNING_RATE)
    mu.lerp_(visible_mean, CENTRING)
    lam.lerp_(hidden_mean, CENTRING)
    return torch.bernoulli(of_chains)


def annealed(machine: Machine, num_chains: int, steps: int) -> torch.Tensor:
    """log Z by chains from the machine without couplings, the visible units summed out."""
    weights, visible_bias, hidden_bias = machine
    h = torch.bernoulli(torch.sigmoid(hidden_bias).expand(num_chains, -1))
    log_w = torch.zeros(num_chains, device=weights.device)
    for step in range(steps):
        start, end = step / steps, (step + 1) / steps
        field = h @ weights.T
        cooled = torch.add(visible_bias, field, alpha=end)
        warm = torch.add(visible_bias, field, alpha=start)
        log_w += (softplus(cooled) - softplus(warm)).sum(dim=1)
        v = torch.bernoulli(torch.sigmoid(cooled))
        h = torch.bernoulli(torch.sigmoid(torch.addmm(hidden_bias, v, weights, alpha=end)))
    log_z_of_base = softplus(visible_bias).sum() + softplus(hidden_bias).sum()
    return log_z_of_base + torch.logsumexp(log_w, dim=0) - torch.log(log_w.new_tensor(num_chains))


def sweep(work: MachineWork) -> Prepared:
    """A loop of sweeps."""
    device, machine = _begin(work)
    h = torch.from_numpy(shared.chains(work)[1]).to(device)

    def sweeps() -> None:
        nonlocal h
        for _ in range(work.steps):
            _, h = gibbs_sweep(machine, h)

    return _prepared(sweeps, device)


def pcd(work: MachineWork) -> Prepared:
    """A loop of updates over shuffled data."""
    device, machine = _begin(work)
    h = torch.from_numpy(shared.chains(work)[1]).to(device)
    rows = torch.from_numpy(shared.data(work)).to(device)
    offsets = Offsets(rows.mean(dim=0), torch.sigmoid(machine.hidden_bias))

    def updates() -> None:
        nonlocal h
        for index in torch.randperm(len(rows), device=device).split(work.batch_size):
            h = update(machine, offsets, rows[index], h)

    return _prepared(updates, device)


def ais(work: MachineWork) -> Prepared:
    """A loop of temperatures."""
    device, machine = _begin(work)
    return _prepared(lambda: annealed(machine, work.num_chains, work.steps), device)


def _begin(work: MachineWork) -> tuple[torch.device, Machine]:
    torch.manual_seed(0)
    device = choose_device()
    arrays = (torch.from_numpy(array).to(device) for array in shared.parameters(work))
    return device, Machine(*arrays)


def _prepared(function: Callable[[], object], device: torch.device) -> Prepared:
    def run() -> None:
        with torch.inference_mode():
            function()
        finish(device)

    return Prepared(run, None)
