"""Eager PyTorch, written plainly from the paper (Vahdat et al. 2019, Section 3.2, Algorithm 1)."""

import itertools
import math
from collections.abc import Callable

import torch
from torch import nn

from benchmarks.peers.discrete.work import (
    ADAM_EPSILON,
    DATA_SIZE,
    HIDDEN_SIZE,
    LEARNING_RATE,
    MOMENTUM,
    NORMALIZATION_EPSILON,
    PRIOR_CHAINS,
    PRIOR_SWEEPS,
    SHARPNESS,
    SWEEPS,
    DiscreteWork,
    data,
)
from benchmarks.peers.torch_device import choose_device, finish
from benchmarks.peers.work import Prepared


class Prior(nn.Module):
    """The machine, all of whose parameters start at zero, and its chains."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(bits, bits))
        self.visible = nn.Parameter(torch.zeros(bits))
        self.hidden = nn.Parameter(torch.zeros(bits))
        self.register_buffer("chains", torch.randint(0, 2, (PRIOR_CHAINS, bits)).float())

    def gain(self, v: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        """-E(v, h) [B]."""
        return v @ self.visible + h @ self.hidden + ((v @ self.weights) * h).sum(dim=1)

    def log_z(self) -> torch.Tensor:
        """A number with the gradient of log Z, after some sweeps of the chains."""
        with torch.no_grad():
            v = self.chains
            for _ in range(PRIOR_SWEEPS):
                h = torch.bernoulli(torch.sigmoid(self.hidden + v @ self.weights))
                v = torch.bernoulli(torch.sigmoid(self.visible + h @ self.weights.T))
            self.chains.copy_(v)
        fields = self.hidden + self.chains @ self.weights
        return (self.chains @ self.visible + nn.functional.softplus(fields).sum(dim=1)).mean()


class Directed(nn.Module):
    """Independent bits given x."""

    def __init__(self, work: DiscreteWork) -> None:
        super().__init__()
        self.layers = nn.Sequential(*tanh_layers(DATA_SIZE), nn.Linear(HIDDEN_SIZE, 2 * work.bits))

    def forward(
        self, x: torch.Tensor, _index: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Relaxed bits, those of the KL term, and log q at these."""
        logits = self.layers(x)
        mean = torch.sigmoid(logits)
        # The parameters stand still in log q.
        log_q = (mean * logits.detach()).sum(dim=1)
        return _relaxed(logits), mean, log_q


class Undirected(nn.Module):
    """A machine given x, and the chain of each datapoint."""

    def __init__(self, work: DiscreteWork) -> None:
        super().__init__()
        self.bits = work.bits
        self.layers = nn.Sequential(*tanh_layers(DATA_SIZE))
        self.weights = nn.Linear(HIDDEN_SIZE, work.bits**2)
        self.normalize = _normalization(work.bits**2)
        self.biases = nn.Linear(HIDDEN_SIZE, 2 * work.bits)
        chains = torch.randint(0, 2, (work.batch_size * work.steps, work.bits)).bool()
        self.register_buffer("chains", chains)

    def forward(
        self, x: torch.Tensor, index: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Relaxed bits, those of the KL term, and log q at these."""
        features = self.layers(x)
        coupling = self.normalize(self.weights(features)).view(-1, self.bits, self.bits)
        coupling = coupling * (1.5 / math.sqrt(self.bits))
        weights = 4.0 * coupling
        visible, hidden = self.biases(features).chunk(2, dim=1)
        a, b = 2.0 * (visible - coupling.sum(dim=2)), 2.0 * (hidden - coupling.sum(dim=1))

        def of_hidden(v: torch.Tensor) -> torch.Tensor:
            return b + torch.bmm(v.unsqueeze(1), weights).squeeze(1)

        def of_visible(h: torch.Tensor) -> torch.Tensor:
            return a + torch.bmm(weights, h.unsqueeze(2)).squeeze(2)

        with torch.no_grad():
            v = self.chains[index].float()
            for _ in range(SWEEPS):
                h = torch.bernoulli(torch.sigmoid(of_hidden(v)))
                v = torch.bernoulli(torch.sigmoid(of_visible(h)))
            self.chains[index] = v.bool()
        h = _relaxed(of_hidden(v))
        field = of_visible(h)
        mean = torch.sigmoid(field)
        a, b, weights = a.detach(), b.detach(), weights.detach()
        log_q = (a * mean).sum(dim=1) + (h * of_hidden(mean)).sum(dim=1)
        return torch.cat([_relaxed(field), h], dim=1), torch.cat([mean, h], dim=1), log_q


def _relaxed(logits: torch.Tensor) -> torch.Tensor:
    """Piece-wise linear bits."""
    mean = torch.sigmoid(logits)
    slope = 0.25 * SHARPNESS / (mean * (1.0 - mean) + 0.01)
    return (0.5 + slope * (torch.rand_like(mean) - (1.0 - mean))).clamp(0.0, 1.0)


def _normalization(features: int) -> nn.BatchNorm1d:
    return nn.BatchNorm1d(features, eps=NORMALIZATION_EPSILON, momentum=1.0 - MOMENTUM)


def tanh_layers(in_features: int) -> list[nn.Module]:
    """Two layers of the work's size, normalised before the tanh."""
    sizes, layers = (in_features, HIDDEN_SIZE, HIDDEN_SIZE), []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), _normalization(after), nn.Tanh()]
    return layers


def dvae(work: DiscreteWork) -> Prepared:
    """Independent bits as posterior."""
    return _updates(work, Directed)


def dvae_machine(work: DiscreteWork) -> Prepared:
    """Machines as posteriors."""
    return _updates(work, Undirected)


def _updates(work: DiscreteWork, kind: type[nn.Module]) -> Prepared:
    device = choose_device()
    torch.manual_seed(0)
    decoder = nn.Sequential(*tanh_layers(2 * work.bits), nn.Linear(HIDDEN_SIZE, DATA_SIZE))
    prior, posterior, decoder = (
        part.to(device) for part in (Prior(work.bits), kind(work), decoder)
    )

    def loss(x: torch.Tensor, centred: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        zeta, smoothed, log_q = posterior(centred, index)
        log_likelihood = -nn.functional.binary_cross_entropy_with_logits(
            decoder(zeta), x, reduction="none"
        ).sum(dim=1)
        log_prior = prior.gain(smoothed[:, : work.bits], smoothed[:, work.bits :])
        return prior.log_z() - (log_likelihood + log_prior - log_q).mean()

    return updates(work, device, nn.ModuleList([prior, posterior, decoder]), loss)


def updates(
    work: DiscreteWork,
    device: torch.device,
    parts: nn.Module,
    loss: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
) -> Prepared:
    """Adam down loss(x, x less its mean, places in the data) over the batches of a pass."""
    optimizer = torch.optim.Adam(parts.parameters(), LEARNING_RATE, eps=ADAM_EPSILON)
    rows = torch.from_numpy(data(work)).to(device)
    centre = rows.mean(dim=0)

    def run() -> None:
        order = torch.randperm(len(rows), device=device)
        for index in order.split(work.batch_size):
            x = rows[index]
            optimizer.zero_grad()
            loss(x, x - centre, index).backward()
            optimizer.step()
        finish(device)

    return Prepared(run, None)
