"""What the reports of all sweeps share: ours beside the paper's, over seeds, and orderings."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.stats

from experiments.comparisons import table_picture
from experiments.files import replacing
from experiments.methods import SCHEDULES
from experiments.tables import markdown, shown

DIFFERS = "what differs in the setting"


def of_each_seed(result: Mapping[str, Any], name: str) -> list[float]:
    """A figure of each seed of a run; of a run with one seed, that one."""
    each = [one[name] for one in result.get("replicas", [result])]
    return [math.nan if value is None else float(value) for value in each]


def over_seeds(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean over seeds and its standard error; None for one seed."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None
    return mean, float(np.std(values, ddof=1) / math.sqrt(len(values)))


def likelihood_columns(
    result: Mapping[str, Any], part: str, paper: float | None
) -> dict[str, float | None]:
    """Negative log-likelihood in nats: the paper's, ours, its errors, and ours minus the paper's.

    Args:
        result: of a run.
        part: "train" or "test".
        paper: its figure, None where it has none.

    Returns:
        The standard error over images is that of one seed; the one over seeds says nothing of the
        choice of images, which all seeds share.
    """
    mean, over = over_seeds(of_each_seed(result, f"{part}_log_likelihood"))
    return {
        "paper": paper,
        "ours": -mean,
        "stderr seeds": over,
        "stderr images": result[f"{part}_log_likelihood_stderr"],
        "difference": None if paper is None else -mean - paper,
    }


def settings_that_differ(result: Mapping[str, Any], paper: Mapping[str, Any]) -> list[str]:
    """Every setting that is not the paper's, as `name ours (paper's)`; None and 0 stand for all."""

    def told(value: Any) -> Any:
        counts = value is None or type(value) is int
        return "all" if counts and not value else value

    return [
        f"{name} {told(result[name])} ({told(value)})"
        for name, value in paper.items()
        if told(result[name]) != told(value)
    ]


def seeds_and_last_rate(result: Mapping[str, Any], last_rate: float | None) -> list[str]:
    """What a protocol that is cut short changes besides: the papers have one seed.

    Args:
        result: of a run.
        last_rate: of the paper, None where it tells none.
    """
    told = []
    # By epochs: one step in each.
    schedule = SCHEDULES[result["schedule"]](result["learning_rate"], 1)
    ours = float(schedule(result["epochs"] - 1))
    if last_rate is not None and abs(ours / last_rate - 1.0) > 0.01:
        told.append(f"last learning rate {ours:.2g} ({last_rate:.2g})")
    if result["num_replicas"] > 1:
        told.append(f"{result['num_replicas']} seeds (1)")
    return told


class Ordering(NamedTuple):
    """A claim that one kind of run is better than another, or as good.

    Attributes:
        claim: in words, as the paper has it.
        where: the cell of the paper: data set, layers, figure.
        better, worse: the runs' results.
        equal: whether the claim is that they are equal.
    """

    claim: str
    where: str
    better: Mapping[str, Any]
    worse: Mapping[str, Any]
    equal: bool = False


def ordering_rows(orderings: Sequence[Ordering]) -> list[dict[str, Any]]:
    """Rows that say where the orderings hold, by the difference in test log-likelihood.

    Seeds are paired: equal seeds share the order of the data, and where the networks are equal the
    first parameters; all runs of a data set share the test images and their bits. A difference
    that Student's t-test of the seeds does not tell from zero, on both sides at 5 percent, is
    `unclear`, or where equality is claimed `no difference seen`; one seed tells nothing. Of many
    claims that are not so, one in twenty passes.
    """
    rows = []
    for ordering in orderings:
        pair = (ordering.better, ordering.worse)
        better, worse = (of_each_seed(result, "test_log_likelihood") for result in pair)
        count = min(len(better), len(worse))
        mean, error = over_seeds([better[n] - worse[n] for n in range(count)])
        verdict = "unclear"
        if error is not None and abs(mean) > scipy.stats.t.ppf(0.975, count - 1) * error:
            verdict = "holds" if mean > 0 and not ordering.equal else "fails"
        elif error is not None and ordering.equal:
            verdict = "no difference seen"
        rows.append(
            {
                "claim": ordering.claim,
                "where": ordering.where,
                "gain (nats)": mean,
                "stderr seeds": error,
                "seeds": count,
                "verdict": verdict,
            }
        )
    return rows


def write_table(
    root: Path, name: str, rows: Sequence[Mapping[str, Any]], *, title: str, note: str = ""
) -> str:
    """Writes rows as name.md and, without the column of what differs, as name.png.

    Returns:
        The narrower table, for a terminal.
    """
    columns = list(rows[0])
    with replacing(root / f"{name}.md") as path:
        text = markdown(rows, columns) + "\n" + (f"\n{note}\n" if note else "")
        path.write_text(text, encoding="utf-8")
    short = [column for column in columns if column != DIFFERS]
    cells = [[shown(row[column]) for column in short] for row in rows]
    table_picture(root / f"{name}.png", short, cells, title=title)
    return markdown(rows, short)
