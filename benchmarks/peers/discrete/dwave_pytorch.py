"""D-Wave's plug-in for PyTorch: its autoencoder, its loss, and its sampler of a machine in blocks.

Its bits are spins by a hard Gumbel softmax; it has no piece-wise linear ones, and no machine as
posterior. The entropy in its loss is a mean over the bits where the energy is a sum, which costs
the same.
"""

import itertools

import torch
from dwave.plugins.torch.models import (
    DiscreteVariationalAutoencoder,
    GraphRestrictedBoltzmannMachine,
)
from dwave.plugins.torch.models.losses.kl_divergence import pseudo_kl_divergence_loss
from dwave.plugins.torch.samplers import BlockSampler
from torch import nn

from benchmarks.peers.discrete.pytorch import tanh_layers
from benchmarks.peers.discrete.work import (
    ADAM_EPSILON,
    DATA_SIZE,
    HIDDEN_SIZE,
    LEARNING_RATE,
    PRIOR_CHAINS,
    PRIOR_SWEEPS,
    DiscreteWork,
    data,
)
from benchmarks.peers.torch_device import choose_device, finish
from benchmarks.peers.work import Prepared


def machine(num_visible: int, num_hidden: int) -> GraphRestrictedBoltzmannMachine:
    """Spins of two sides, each of which is coupled to all of the other."""
    sides = range(num_visible), range(num_visible, num_visible + num_hidden)
    return GraphRestrictedBoltzmannMachine(
        range(num_visible + num_hidden), itertools.product(*sides)
    )


def sampler(
    of: GraphRestrictedBoltzmannMachine, num_visible: int, num_chains: int, num_sweeps: int
):
    """Chains that go on for so many sweeps of both sides at each call."""
    return BlockSampler(of, lambda spin: spin < num_visible, num_chains, [1.0] * num_sweeps)


class _Decoder(nn.Module):
    """Logits of pixels; the plug-in hands it several draws of spins for each datapoint."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*tanh_layers(2 * bits), nn.Linear(HIDDEN_SIZE, DATA_SIZE))

    def forward(self, spins: torch.Tensor) -> torch.Tensor:
        return self.layers(spins.flatten(0, 1))


def dvae(work: DiscreteWork) -> Prepared:
    """Independent bits as posterior."""
    device = choose_device()
    torch.manual_seed(0)
    encoder = nn.Sequential(*tanh_layers(DATA_SIZE), nn.Linear(HIDDEN_SIZE, 2 * work.bits))
    autoencoder = DiscreteVariationalAutoencoder(encoder, _Decoder(work.bits)).to(device)
    prior = machine(work.bits, work.bits).to(device)
    chains = sampler(prior, work.bits, PRIOR_CHAINS, PRIOR_SWEEPS).to(device)
    parameters = [*autoencoder.parameters(), *prior.parameters()]
    optimizer = torch.optim.Adam(parameters, LEARNING_RATE, eps=ADAM_EPSILON)
    rows = torch.from_numpy(data(work)).to(device)
    centre = rows.mean(dim=0)

    def run() -> None:
        order = torch.randperm(len(rows), device=device)
        for index in order.split(work.batch_size):
            x = rows[index]
            logits, spins, pixels = autoencoder(x - centre)
            loss = nn.functional.binary_cross_entropy_with_logits(pixels, x, reduction="sum")
            divergence = pseudo_kl_divergence_loss(spins, logits, chains.sample(), prior)
            optimizer.zero_grad()
            (loss / len(x) + divergence).backward()
            optimizer.step()
        finish(device)

    return Prepared(run, None)
