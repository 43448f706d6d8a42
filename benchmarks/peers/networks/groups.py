"""The groups of networks: one training step, the forward pass alone, and many small steps."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from absl import flags

from benchmarks.peers.groups import Form, Group, numbers
from benchmarks.peers.networks.work import DATA_SIZE, TrainingWork
from benchmarks.peers.work import Implementation

FLAGS = flags.FLAGS


class Peer(NamedTuple):
    """An implementation to compare with.

    Attributes:
        module: of this folder.
        methods: what it can do.
        arrays: how many float32 arrays of B x K x 784 it holds at its peak, counted by hand.
    """

    module: str
    methods: tuple[str, ...]
    arrays: float


PEERS: Mapping[str, Peer] = {
    "PyTorch": Peer("pytorch", ("rem_v1", "rws", "iwae", "epoch"), 9.0),
    "NumPyro": Peer("numpyro_svi", ("iwae",), 6.0),
    "TFP on JAX": Peer("tfp_vi", ("iwae",), 6.0),
    "Pyro": Peer("pyro_rws", ("rws",), 9.0),
    "matrix products": Peer("products", ("e_step",), 0.0),
}
METHODS = ("rem_v1", "rws", "iwae", "e_step", "epoch")


def define_flags() -> None:
    """How large the steps are."""
    flags.DEFINE_list("sizes", ["100x1", "100x50", "20x1000", "20x10000"], "B x K, as 20x1000")
    flags.DEFINE_integer("keep", 64, "particles that carry the gradient", lower_bound=1)
    flags.DEFINE_integer("epoch_steps", 200, "steps of the group `epoch`", lower_bound=2)


def groups(name: str) -> Iterator[Group]:
    """Those of a method: one for each size, or one of many steps with K = 1."""
    if name == "epoch":
        yield _group(name, TrainingWork("iwae", 20, 1, None, FLAGS.epoch_steps))
        return
    for size in FLAGS.sizes:
        yield _group(
            name, TrainingWork(name, *numbers("sizes", size, ("B", "K"), "20x1000"), None, 1)
        )


def _group(name: str, work: TrainingWork) -> Group:
    forms = [Form("remjax", {"keep": None}, Implementation("networks.ours", "prepare", work))]
    if FLAGS.keep <= work.num_particles and name != "e_step":
        kept = Implementation("networks.ours", "prepare", work._replace(keep=FLAGS.keep))
        forms.append(Form(f"remjax, keep={FLAGS.keep}", {"keep": FLAGS.keep}, kept))
    array = 4.0 * work.batch_size * work.num_particles * DATA_SIZE
    return Group(
        name,
        {"batch_size": work.batch_size, "num_particles": work.num_particles},
        work.steps,
        forms,
        {
            peer_name: Implementation(
                f"networks.{peer.module}", "prepare", work, peer.arrays * array
            )
            for peer_name, peer in PEERS.items()
            if name in peer.methods
        },
    )
