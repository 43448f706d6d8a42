"""Eager PyTorch, written plainly from the papers: REM v1, reweighted wake-sleep, IWAE."""

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal

from benchmarks.peers.networks.work import (
    ADAM_EPSILON,
    DATA_SIZE,
    HIDDEN_SIZE,
    LATENT_SIZE,
    LEARNING_RATE,
    TrainingWork,
    images,
)
from benchmarks.peers.torch_device import choose_device, finish
from benchmarks.peers.work import Prepared
from remjax.errors import InputError

# Added to the diagonal of the covariance of s, as the paper promises (below its Eq. 19).
_RIDGE = 1e-6


class Networks(nn.Module):
    """Encoder and decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = _mlp(DATA_SIZE, 2 * LATENT_SIZE)
        self.decoder = _mlp(LATENT_SIZE, DATA_SIZE)

    def recognition(self, x: torch.Tensor) -> Independent:
        """r(z | x)."""
        loc, log_variance = self.encoder(x).chunk(2, dim=-1)
        scale = torch.exp(0.5 * log_variance)
        return Independent(Normal(loc, scale, validate_args=False), 1, validate_args=False)

    def log_joint(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """log p(x, z) [K, B] of particles [K, B, D]."""
        logits = self.decoder(z)
        log_likelihood = -nn.functional.binary_cross_entropy_with_logits(
            logits, x.expand_as(logits), reduction="none"
        ).sum(dim=-1)
        log_prior = -0.5 * (z.square() + math.log(2.0 * math.pi)).sum(dim=-1)
        return log_likelihood + log_prior


def _mlp(in_features: int, out_features: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(in_features, HIDDEN_SIZE),
        nn.Tanh(),
        nn.Linear(HIDDEN_SIZE, HIDDEN_SIZE),
        nn.Tanh(),
        nn.Linear(HIDDEN_SIZE, out_features),
    )


def rem_v1(networks: Networks, x: torch.Tensor, num_particles: int) -> torch.Tensor:
    """Algorithm 1 of Dieng & Paisley (2019): theta from the particles of r, eta from those of s."""
    r = networks.recognition(x)
    with torch.no_grad():
        z = r.sample((num_particles,))
        log_r = r.log_prob(z)
    log_joint = networks.log_joint(x, z)
    with torch.no_grad():
        weights = torch.softmax(log_joint - log_r, dim=0)
        mean = torch.einsum("kb,kbd->bd", weights, z)
        centred = z - mean
        covariance = torch.einsum("kb,kbd,kbe->bde", weights, centred, centred)
        factor = torch.linalg.cholesky(
            covariance + _RIDGE * torch.eye(LATENT_SIZE, device=x.device)
        )
        s = MultivariateNormal(mean, scale_tril=factor, validate_args=False)
        z_of_s = s.sample((num_particles,))
        of_s = torch.softmax(networks.log_joint(x, z_of_s) - s.log_prob(z_of_s), dim=0)
    theta_loss = -(weights * log_joint).sum(dim=0).mean()
    eta_loss = -(of_s * r.log_prob(z_of_s)).sum(dim=0).mean()
    return theta_loss + eta_loss


def rws(networks: Networks, x: torch.Tensor, num_particles: int) -> torch.Tensor:
    """Wake-wake: both networks from the weighted particles of r."""
    r = networks.recognition(x)
    z = r.sample((num_particles,)).detach()
    log_joint, log_r = networks.log_joint(x, z), r.log_prob(z)
    weights = torch.softmax((log_joint - log_r).detach(), dim=0)
    return -(weights * (log_joint + log_r)).sum(dim=0).mean()


def iwae(networks: Networks, x: torch.Tensor, num_particles: int) -> torch.Tensor:
    """L_K, both networks through the reparameterised particles of r."""
    r = networks.recognition(x)
    z = r.rsample((num_particles,))
    log_w = networks.log_joint(x, z) - r.log_prob(z)
    return -(torch.logsumexp(log_w, dim=0) - math.log(num_particles)).mean()


LOSSES: dict[str, Callable[[Networks, torch.Tensor, int], torch.Tensor]] = {
    "rem_v1": rem_v1,
    "rws": rws,
    "iwae": iwae,
}


def prepare(work: TrainingWork) -> Prepared:
    """A step, or a loop of steps over the batches of a small data set."""
    if work.method not in LOSSES:
        raise InputError(f"PyTorch has no {work.method} here")
    device = choose_device()
    torch.manual_seed(0)
    networks = Networks().to(device)
    optimizer = torch.optim.Adam(networks.parameters(), LEARNING_RATE, eps=ADAM_EPSILON)
    data = torch.from_numpy(images(work.batch_size * work.steps)[0]).to(device)
    loss_of = LOSSES[work.method]

    def run() -> None:
        order = torch.randperm(len(data), device=device)
        for index in order.split(work.batch_size):
            optimizer.zero_grad()
            loss_of(networks, data[index], work.num_particles).backward()
            optimizer.step()
        finish(device)

    return Prepared(run, None)
