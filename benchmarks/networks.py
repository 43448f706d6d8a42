"""The networks that the benchmarks train: two tanh layers, one stochastic layer."""

from absl import flags

from experiments.run.data_facts import facts_of
from experiments.run.networks import Networks, build_networks, gaussian
from remjax.data import Dataset
from remjax.models.initializations import Initialization, glorot
from remjax.types import Model, Recognition

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Their sizes."""
    flags.DEFINE_integer("hidden_size", 200, "units in each tanh layer", lower_bound=1)
    flags.DEFINE_integer("latent_size", 20, "D, dimension of the latent", lower_bound=1)


def networks_for(
    dataset: Dataset, networks: Networks = gaussian, initialization: Initialization = glorot
) -> tuple[Model, Recognition]:
    """Decoder and encoder of those sizes."""
    return build_networks(
        facts_of(dataset),
        networks,
        latent_sizes=(FLAGS.latent_size,),
        hidden_sizes=((FLAGS.hidden_size,) * 2,),
        initialization=initialization,
    )
