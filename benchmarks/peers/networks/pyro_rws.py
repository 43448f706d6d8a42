"""Pyro: ReweightedWakeSleep. It weighs the batch as one datapoint, at the cost of the true form."""

import pyro
import torch
from pyro import distributions as dist
from pyro.infer import SVI, ReweightedWakeSleep

from benchmarks.peers.networks.pytorch import Networks
from benchmarks.peers.networks.work import (
    ADAM_EPSILON,
    LATENT_SIZE,
    LEARNING_RATE,
    TrainingWork,
    images,
)
from benchmarks.peers.torch_device import choose_device
from benchmarks.peers.work import Prepared
from remjax.errors import InputError


def prepare(work: TrainingWork) -> Prepared:
    """One step of SVI."""
    if work.method != "rws":
        raise InputError(f"Pyro has no {work.method}")
    pyro.enable_validation(False)
    torch.manual_seed(0)
    device = choose_device()
    networks = Networks().to(device)

    def model(x: torch.Tensor) -> None:
        pyro.module("decoder", networks.decoder)
        with pyro.plate("batch", x.shape[0]):
            prior = dist.Normal(x.new_zeros(LATENT_SIZE), x.new_ones(LATENT_SIZE)).to_event(1)
            z = pyro.sample("z", prior)
            likelihood = dist.Bernoulli(logits=networks.decoder(z)).to_event(1)
            pyro.sample("x", likelihood, obs=x)

    def guide(x: torch.Tensor) -> None:
        pyro.module("encoder", networks.encoder)
        loc, log_variance = networks.encoder(x).chunk(2, dim=-1)
        with pyro.plate("batch", x.shape[0]):
            pyro.sample("z", dist.Normal(loc, torch.exp(0.5 * log_variance)).to_event(1))

    optimizer = pyro.optim.Adam({"lr": LEARNING_RATE, "eps": ADAM_EPSILON})
    loss = ReweightedWakeSleep(
        num_particles=work.num_particles, vectorize_particles=True, max_plate_nesting=1
    )
    svi = SVI(model, guide, optimizer, loss)
    x = torch.from_numpy(images(work.batch_size)[0]).to(device)
    return Prepared(lambda: svi.step(x), None)
