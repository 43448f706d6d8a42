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

from benchmarks.peers.discrete.pytorch import tanh_layers, updates
from benchmarks.peers.discrete.work import (
    DATA_SIZE,
    HIDDEN_SIZE,
    PRIOR_CHAINS,
    PRIOR_SWEEPS,
    DiscreteWork,
)
from benchmarks.peers.torch_device import choose_device
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

    def loss(x: torch.Tensor, centred: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        logits, spins, pixels = autoencoder(centred)
        surprise = nn.functional.binary_cross_entropy_with_logits(pixels, x, reduction="sum")
        return surprise / len(x) + pseudo_kl_divergence_loss(spins, logits, chains.sample(), prior)

    return updates(work, device, nn.ModuleList([autoencoder, prior]), loss)
