"""The groups of machines: a Gibbs sweep, an update of PCD, and a temperature of AIS."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from absl import flags

from benchmarks.peers.groups import Form, Group, numbers
from benchmarks.peers.machines.work import MachineWork
from benchmarks.peers.work import Implementation

FLAGS = flags.FLAGS


class Peer(NamedTuple):
    """An implementation to compare with.

    Attributes:
        module: of this folder.
        methods: what it can do; its functions have these names.
        unit_bytes: for each unit of each chain, what it holds at its peak, counted by hand.
        coupling_bytes: for each coupling of each chain.
    """

    module: str
    methods: tuple[str, ...]
    unit_bytes: float
    coupling_bytes: float = 0.0


METHODS = ("sweep", "pcd", "ais")
PEERS: Mapping[str, Peer] = {
    "rbms (PyTorch)": Peer("rbms_pytorch", METHODS, 24.0),
    "PyTorch": Peer("plain_pytorch", METHODS, 16.0),
    "scikit-learn": Peer("scikit_learn", ("sweep", "pcd"), 24.0),
    "thrml": Peer("thrml_blocks", ("sweep",), 16.0, 4.0),
    "matrix products": Peer("products", METHODS, 0.0),
}


def define_flags() -> None:
    """How large the machines are."""
    flags.DEFINE_list(
        "machines",
        ["100x784x500", "1000x784x500"],
        "chains x visible x hidden units, as 100x784x500; a batch has as many datapoints as there "
        "are chains",
    )
    flags.DEFINE_integer("machine_steps", 20, "sweeps of a run, and so on", lower_bound=1)


def groups(name: str) -> Iterator[Group]:
    """Those of a method, one for each size."""
    for size in FLAGS.machines:
        chains, visible, hidden = numbers(
            "machines", size, ("chains", "visible", "hidden units"), "100x784x500"
        )
        yield _group(name, MachineWork(chains, visible, hidden, chains, FLAGS.machine_steps))


def _group(name: str, work: MachineWork) -> Group:
    units = work.num_chains * (work.num_visible + work.num_hidden)
    couplings = work.num_chains * work.num_visible * work.num_hidden

    def implementation(peer: Peer) -> Implementation:
        peak_bytes = peer.unit_bytes * units + peer.coupling_bytes * couplings
        return Implementation(f"machines.{peer.module}", name, work, peak_bytes)

    return Group(
        name,
        {
            "num_chains": work.num_chains,
            "num_visible": work.num_visible,
            "num_hidden": work.num_hidden,
        },
        work.steps,
        [Form("remjax", {}, Implementation("machines.ours", name, work))],
        {title: implementation(peer) for title, peer in PEERS.items() if name in peer.methods},
    )
