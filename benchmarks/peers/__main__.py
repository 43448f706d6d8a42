"""One training step in remjax and in its peers: interleaved runs, medians, memory.

    python -m benchmarks.peers --json=peers.json --picture=peers.png

Each implementation runs in a process of its own and does the same work in turn: twice, of which
the second time counts. `ratio` is how many times as fast remjax is, the median over the rounds: the
exact form, and the one that keeps --keep particles for the gradient. The last groups are the
forward pass beside its matrix products, and many small steps (K=1), where the cost is that of
starting a step: a compiled epoch here, a loop in PyTorch. A peer that is missing, fails or would
not fit is a row that says so.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from absl import flags

from benchmarks.machine import machine
from benchmarks.measure import median, median_ratio, write_rows
from benchmarks.peers.picture import draw
from benchmarks.peers.processes import workers
from benchmarks.peers.work import DATA_SIZE, Work
from experiments.output.tables import markdown
from experiments.run import command_line
from remjax.errors import InputError

FLAGS = flags.FLAGS

Row = dict[str, Any]


class Peer(NamedTuple):
    """An implementation to compare with.

    Attributes:
        module: of benchmarks.peers.
        methods: what it can do.
        arrays: how many float32 arrays of B x K x 784 it holds at its peak, counted by hand.
    """

    module: str
    methods: tuple[str, ...]
    arrays: float


PEERS: Mapping[str, Peer] = {
    "PyTorch": Peer("pytorch", ("rem_v1", "rws", "iwae"), 9.0),
    "NumPyro": Peer("numpyro_svi", ("iwae",), 6.0),
    "TFP on JAX": Peer("tfp_vi", ("iwae",), 6.0),
    "Pyro": Peer("pyro_rws", ("rws",), 9.0),
    "matrix products": Peer("products", ("e_step",), 0.0),
}
METHODS = ("rem_v1", "rws", "iwae", "e_step", "epoch")


def define_flags() -> None:
    """What to time, and for how long."""
    flags.DEFINE_list("methods", list(METHODS), f"of {', '.join(METHODS)}")
    flags.DEFINE_list("sizes", ["100x1", "100x50", "20x1000", "20x10000"], "B x K, as 20x1000")
    flags.DEFINE_integer("keep", 64, "particles that carry the gradient", lower_bound=1)
    flags.DEFINE_integer("repeats", 9, "rounds; fewer where they would take longer", lower_bound=1)
    flags.DEFINE_float("seconds", 60.0, "per group; three rounds are run whatever they take")
    flags.DEFINE_float("limit", 300.0, "seconds that one step of a peer may take")
    flags.DEFINE_float("memory_gb", 10.0, "a peer that would take more is left out")
    flags.DEFINE_integer("epoch_steps", 200, "steps of the group `epoch`", lower_bound=2)
    flags.DEFINE_string("json", None, "file for the rows")
    flags.DEFINE_string("picture", None, "PNG file for the picture")


def groups() -> Iterator[Work]:
    """The work of each group; `keep` is filled in for each form of ours."""
    for method in FLAGS.methods:
        if method not in METHODS:
            raise InputError(f"--methods={method} is not known: use some of {', '.join(METHODS)}")
        if method == "epoch":
            yield Work("iwae", 20, 1, None, FLAGS.epoch_steps)
            continue
        for size in FLAGS.sizes:
            parts = size.split("x")
            if len(parts) != 2 or not all(part.isdecimal() and int(part) for part in parts):
                raise InputError(f"--sizes={size} is no B x K: write it as 20x1000")
            yield Work(method, int(parts[0]), int(parts[1]), None, 1)


def forms(work: Work) -> dict[str, tuple[str, Work]]:
    """Our forms of the work and the peers that fit into memory, by name."""
    wanted = {"remjax": ("ours", work)}
    if FLAGS.keep <= work.num_particles and work.method != "e_step":
        wanted[f"remjax, keep={FLAGS.keep}"] = ("ours", work._replace(keep=FLAGS.keep))
    for name, peer in PEERS.items():
        if work.method in peer.methods and (work.steps == 1 or name == "PyTorch"):
            wanted[name] = (peer.module, work)
    return wanted


def time_group(work: Work) -> list[Row]:
    """Rows of one group: each peer once for every form of ours that it is compared with."""
    wanted = forms(work)
    too_large = {}
    for name in [name for name in wanted if name in PEERS]:
        need = 4e-9 * PEERS[name].arrays * work.batch_size * work.num_particles * DATA_SIZE
        if need > FLAGS.memory_gb:
            too_large[name] = f"would take about {need:.0f} GB"
            del wanted[name]
    seconds: dict[str, list[float]] = {}
    peaks: dict[str, int] = {}
    with workers(wanted, FLAGS.limit) as (ready, failed):
        began = time.perf_counter()
        for count in range(FLAGS.repeats):
            if count >= 3 and time.perf_counter() - began > FLAGS.seconds:
                break
            for name, worker in list(ready.items()):
                try:
                    spent, peaks[name] = worker.run()
                except InputError as error:
                    failed[name] = str(error)
                    seconds.pop(name, None)
                    ready.pop(name).end()
                    continue
                seconds.setdefault(name, []).append(spent)
        temp_bytes = {name: worker.temp_bytes for name, worker in ready.items()}
    return list(_rows(work, seconds, peaks, temp_bytes, failed | too_large))


def _rows(
    work: Work,
    seconds: Mapping[str, list[float]],
    peaks: Mapping[str, int],
    temp_bytes: Mapping[str, int | None],
    failed: Mapping[str, str],
) -> Iterator[Row]:
    ours = {name: times for name, times in seconds.items() if name.startswith("remjax")}
    for name in [*seconds, *failed]:
        # A row per form of ours that it is compared with; what failed is told once of each too.
        for form in [name] if name.startswith("remjax") else ours or ["remjax"]:
            row: Row = {
                "method": work.method if work.steps == 1 else "epoch",
                "implementation": "remjax" if name.startswith("remjax") else name,
                "batch_size": work.batch_size,
                "num_particles": work.num_particles,
                "keep": FLAGS.keep if "keep" in form else None,
                "milliseconds": None,
                "temp_bytes": None,
                "speedup": None,
            }
            if name in failed:
                yield row | {"error": failed[name]}
                continue
            yield row | {
                "milliseconds": 1e3 * median(seconds[name]) / work.steps,
                "temp_bytes": temp_bytes[name],
                "speedup": median_ratio(ours[form], seconds[name]) if form in ours else None,
                "peak_bytes": peaks[name],
                "rounds": len(seconds[name]),
            }


def table(rows: list[Row]) -> str:
    """The rows for people."""
    shown = [
        {
            "method": row["method"],
            "B": row["batch_size"],
            "K": row["num_particles"],
            "implementation": row["implementation"],
            "keep": row["keep"],
            "ms per step": row["milliseconds"],
            "ratio": row.get("error", row["speedup"]),
            "temporary MB": row["temp_bytes"] / 1e6 if row["temp_bytes"] else None,
            "process MB": row["peak_bytes"] / 1e6 if row.get("peak_bytes") else None,
        }
        for row in rows
    ]
    return markdown(shown, list(shown[0]))


def main() -> None:
    """Time every group; write after each, so that what is measured is never lost."""
    rows: list[Row] = []
    write_rows(FLAGS.json, rows)
    for work in list(groups()):
        rows += time_group(work)
        print(table(rows[-1:]).splitlines()[-1], flush=True)
        write_rows(FLAGS.json, rows)
    print(f"\n{machine()}\n\n{table(rows)}")
    if FLAGS.picture:
        draw(FLAGS.picture, rows)


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
