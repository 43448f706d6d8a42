"""The groups of discrete VAEs: an update with independent bits, and one with machines."""

from collections.abc import Iterator

from absl import flags

from benchmarks.peers.discrete.work import PRIOR_CHAINS, DiscreteWork
from benchmarks.peers.groups import Form, Group, numbers
from benchmarks.peers.work import Implementation

FLAGS = flags.FLAGS

# By method, the peers that have it and their modules.
_PEERS = {
    "dvae": {"PyTorch": "pytorch", "D-Wave (PyTorch)": "dwave_pytorch"},
    "dvae_machine": {"PyTorch": "pytorch"},
}
METHODS = tuple(_PEERS)


def define_flags() -> None:
    """How large the updates are."""
    flags.DEFINE_list("discrete", ["100x100"], "batch x bits of each side, as 100x100")
    flags.DEFINE_integer("discrete_steps", 20, "updates of a run of discrete VAEs", lower_bound=1)


def groups(name: str) -> Iterator[Group]:
    """Those of a method, one for each size."""
    for size in FLAGS.discrete:
        batch_size, bits = numbers("discrete", size, ("B", "bits"), "100x100")
        work = DiscreteWork(batch_size, bits, FLAGS.discrete_steps)
        yield Group(
            name,
            {
                "batch_size": batch_size,
                "num_chains": PRIOR_CHAINS,
                "num_visible": bits,
                "num_hidden": bits,
            },
            work.steps,
            [Form("remjax", {}, Implementation("discrete.ours", name, work))],
            {
                peer: Implementation(f"discrete.{module}", name, work)
                for peer, module in _PEERS[name].items()
            },
        )
