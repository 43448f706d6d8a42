"""The same work in remjax and in its peers: interleaved runs, medians, memory.

    python -m benchmarks.peers --json=peers.json --picture=peers.png

Each implementation runs in a process of its own and does the same work in turn: twice, of which
the second time counts. `ratio` is how many times as fast remjax is, the median over the rounds.

Of networks (`networks.work`): one training step, in the exact form and in the one that keeps --keep
particles for the gradient; the forward pass beside its matrix products, `e_step`; and many small
steps (K=1), `epoch`, where the cost is that of starting a step: a compiled epoch here, a loop in
PyTorch. Of Boltzmann machines (`machines.work`): `sweep`, `pcd` and `ais`, whose step is a Gibbs
sweep, an update, or a temperature, of which a run has --machine_steps. Of discrete VAEs
(`discrete.work`): an update with independent bits as posterior, `dvae`, and with a machine,
`dvae_machine`.

A peer that is missing, fails or would not fit is a row that says so.
"""

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from absl import flags

from benchmarks.machine import machine
from benchmarks.measure import median, median_ratio, write_rows
from benchmarks.peers.discrete import groups as discrete
from benchmarks.peers.groups import SIZES, Group
from benchmarks.peers.machines import groups as machines
from benchmarks.peers.networks import groups as networks
from benchmarks.peers.picture import draw
from benchmarks.peers.processes import workers
from experiments.output.tables import markdown
from experiments.run import command_line
from remjax.errors import InputError

FLAGS = flags.FLAGS

Row = dict[str, Any]

_KINDS = (networks, machines, discrete)
METHODS = {name: kind for kind in _KINDS for name in kind.METHODS}


def define_flags() -> None:
    """What to time, and for how long."""
    flags.DEFINE_list("methods", list(METHODS), f"of {', '.join(METHODS)}")
    for kind in _KINDS:
        kind.define_flags()
    flags.DEFINE_integer("repeats", 9, "rounds; fewer where they would take longer", lower_bound=1)
    flags.DEFINE_float("seconds", 60.0, "per group; three rounds are run whatever they take")
    flags.DEFINE_float("limit", 300.0, "seconds that one run of a peer may take")
    flags.DEFINE_float("memory_gb", 10.0, "a peer that would take more is left out")
    flags.DEFINE_string("json", None, "file for the rows")
    flags.DEFINE_string("picture", None, "PNG file for the picture")


def groups() -> Iterator[Group]:
    """All that were asked for."""
    for name in FLAGS.methods:
        if name not in METHODS:
            raise InputError(f"--methods={name} is not known: use some of {', '.join(METHODS)}")
        yield from METHODS[name].groups(name)


def time_group(group: Group) -> list[Row]:
    """Rows of one group: each peer once for every form of ours that it is compared with."""
    wanted = {form.name: form.implementation for form in group.forms} | group.peers
    too_large = {
        name: f"would take about {1e-9 * one.peak_bytes:.0f} GB"
        for name, one in wanted.items()
        if one.peak_bytes > 1e9 * FLAGS.memory_gb
    }
    fitting = {name: one for name, one in wanted.items() if name not in too_large}
    seconds: dict[str, list[float]] = {}
    peaks: dict[str, int] = {}
    with workers(fitting, FLAGS.limit) as (ready, failed):
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
    return list(_rows(group, seconds, peaks, temp_bytes, failed | too_large))


def _rows(
    group: Group,
    seconds: Mapping[str, list[float]],
    peaks: Mapping[str, int],
    temp_bytes: Mapping[str, int | None],
    failed: Mapping[str, str],
) -> Iterator[Row]:
    timed = [form for form in group.forms if form.name in seconds]
    for name in [*seconds, *failed]:
        # A row per form of ours that it is compared with; what failed stands once for each too.
        itself = [form for form in group.forms if form.name == name]
        for form in itself or timed or group.forms[:1]:
            row: Row = {
                "method": group.name,
                **group.sizes,
                "implementation": "remjax" if itself else name,
                **form.columns,
                "milliseconds": None,
                "temp_bytes": None,
                "speedup": None,
            }
            if name in failed:
                yield row | {"error": failed[name]}
                continue
            own = seconds.get(form.name)
            yield row | {
                "milliseconds": 1e3 * median(seconds[name]) / group.steps,
                "temp_bytes": temp_bytes[name],
                "speedup": median_ratio(own, seconds[name]) if own else None,
                "peak_bytes": peaks[name],
                "rounds": len(seconds[name]),
            }


def table(rows: Sequence[Row]) -> str:
    """The rows for people: a table for each kind of work."""
    kinds = itertools.groupby(map(_shown, rows), tuple)
    return "\n\n".join(markdown(list(same), columns) for columns, same in kinds)


def _shown(row: Row) -> Row:
    measured = ("milliseconds", "temp_bytes", "speedup", "peak_bytes", "rounds", "error")
    return {SIZES.get(name, name): row[name] for name in row if name not in measured} | {
        "ms per step": row["milliseconds"],
        "ratio": row.get("error", row["speedup"]),
        "temporary MB": row["temp_bytes"] / 1e6 if row["temp_bytes"] else None,
        "process MB": row["peak_bytes"] / 1e6 if row.get("peak_bytes") else None,
    }


def main() -> None:
    """Time every group; write after each, so that what is measured is never lost."""
    rows: list[Row] = []
    write_rows(FLAGS.json, rows)
    for group in list(groups()):
        rows += time_group(group)
        print(table(rows[-1:]).splitlines()[-1], flush=True)
        write_rows(FLAGS.json, rows)
    print(f"\n{machine()}\n\n{table(rows)}")
    if FLAGS.picture:
        draw(FLAGS.picture, rows)


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
