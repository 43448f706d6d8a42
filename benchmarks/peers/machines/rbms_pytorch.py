"""The library rbms (PyTorch), by the functions that its own training and its own AIS call.

What is not the same: an update draws the hidden units of the chains, and those of the batch, once
more than it would need to, centres with the means of the batch, and divides the gradient by its
norm; AIS draws the hidden units twice for each temperature and computes both free energies anew.
"""

from collections.abc import Callable

import torch
from rbms.bernoulli_bernoulli.classes import BBRBM
from rbms.partition_function.ais import compute_partition_function_ais
from rbms.training.pcd import fit_batch_pcd

from benchmarks.peers.machines import work as shared
from benchmarks.peers.machines.work import LEARNING_RATE, MachineWork, Parameters
from benchmarks.peers.torch_device import choose_device, finish
from benchmarks.peers.work import Prepared


def machine(values: Parameters, device: torch.device) -> BBRBM:
    """Its machine with these parameters."""
    weights, visible_bias, hidden_bias = (torch.tensor(array, device=device) for array in values)
    return BBRBM(weight_matrix=weights, vbias=visible_bias, hbias=hidden_bias)


def sweep(work: MachineWork) -> Prepared:
    """A loop of its two conditional draws, which `sample_state` is made of."""
    device, rbm = _begin(work)
    state = _chains(work, rbm, device)

    def sweeps() -> None:
        for _ in range(work.steps):
            rbm.sample_hiddens(rbm.sample_visibles(state))

    return _prepared(sweeps, device)


def pcd(work: MachineWork) -> Prepared:
    """A loop of updates over shuffled data."""
    device, rbm = _begin(work)
    state = _chains(work, rbm, device)
    rows = torch.from_numpy(shared.data(work)).to(device)
    rbm.init_grad()
    optimizer = torch.optim.SGD(rbm.parameters(), lr=LEARNING_RATE, maximize=True)
    weights = torch.ones(work.batch_size, device=device)

    def updates() -> None:
        nonlocal state
        for index in torch.randperm(len(rows), device=device).split(work.batch_size):
            optimizer.zero_grad(set_to_none=False)
            state, _ = fit_batch_pcd((rows[index], weights), state, rbm, 1, 1.0)
            optimizer.step()

    return _prepared(updates, device)


def ais(work: MachineWork) -> Prepared:
    """Its function, over as many temperatures."""
    device, rbm = _begin(work)
    return _prepared(
        lambda: compute_partition_function_ais(work.num_chains, work.steps + 1, rbm), device
    )


def _begin(work: MachineWork) -> tuple[torch.device, BBRBM]:
    torch.manual_seed(0)
    device = choose_device()
    return device, machine(shared.parameters(work), device)


def _chains(work: MachineWork, rbm: BBRBM, device: torch.device) -> dict[str, torch.Tensor]:
    visible = torch.from_numpy(shared.chains(work)[0]).to(device)
    return rbm.init_chains(work.num_chains, start_v=visible)


def _prepared(function: Callable[[], object], device: torch.device) -> Prepared:
    def run() -> None:
        with torch.no_grad():
            function()
        finish(device)

    return Prepared(run, None)
