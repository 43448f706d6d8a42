"""What the cells of `benchmarks.equal_passes` say: their tables and their picture."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.output.tables import markdown
from experiments.pictures.comparisons import method_comparison

Cell = dict[str, Any]


def minus_rws(cell: Cell, cells: list[Cell], bound: str) -> tuple[float, float] | None:
    """Mean difference from rws in the same setting, and its standard error over the paired images.

    None where rws was not run in that setting, or the bound was not measured.
    """
    setting = ["dataset", "passes", "epochs", "schedule", "seed", "keep"]
    if cell["name"] == "vae":  # which keeps all, whatever the others do
        setting.remove("keep")
    values = f"{bound}_log_likelihoods"
    for rws in cells:
        if rws["name"] == "rws" and all(rws[key] == cell[key] for key in setting):
            if values not in cell or values not in rws:
                return None
            # The images are the first ones, of which a cell may have more than another.
            count = min(len(cell[values]), len(rws[values]))
            difference = np.subtract(cell[values][:count], rws[values][:count])
            stderr = np.std(difference, ddof=1) / np.sqrt(len(difference))
            return float(np.mean(difference)), float(stderr)
    return None


def in_order(cells: list[Cell]) -> list[Cell]:
    """By data set, passes, epochs, then seed, then best first."""
    return sorted(
        cells,
        key=lambda c: (
            *(c[key] for key in ("dataset", "passes", "epochs", "seed")),
            -c.get("tight_log_likelihood", c["test_log_likelihood"]),
        ),
    )


def picture(path: Path, cells: list[Cell]) -> None:
    """Every method's mean distance from rws over its seeds, a panel for each setting and bound.

    The error is that over seeds where there are several, else that over the images.
    """
    panels: dict[str, dict[str, tuple[float, float]]] = {}
    for (dataset, passes, epochs, _, name), group in settings(cells).items():
        work = f"{dataset}, {passes} passes\n{epochs} epoch{'s' * (epochs > 1)}"
        for bound, label in (("test", "by r"), ("tight", "by the curvature")):
            known = [lead for cell in group if (lead := minus_rws(cell, cells, bound))]
            leads, of_images = np.asarray(known).reshape(-1, 2).T
            # One so far below that nothing else could be seen apart stands in the table only.
            if len(leads) and np.mean(leads) > -5.0:
                stderr = (
                    np.std(leads, ddof=1) / np.sqrt(len(leads)) if len(leads) > 1 else of_images[0]
                )
                panel = f"{work}, {label}"
                panels.setdefault(panel, {})[name] = float(np.mean(leads)), float(stderr)
    if panels:
        label = "bound on the test log-likelihood minus that of rws (nats)"
        method_comparison(path, panels, label=label, title="At equal decoder passes")


def table(cells: list[Cell]) -> str:
    """The cells as a Markdown table."""
    rows = []
    for cell in in_order(cells):
        row = dict(cell)
        for bound in ("test", "tight", "annealed"):
            difference = minus_rws(cell, cells, bound)
            text = "-" if difference is None else f"{difference[0]:+.2f} ({difference[1]:.2f})"
            row[f"{bound} minus rws"] = text
        rows.append({column: row.get(column, "-") for column in _COLUMNS})
    return markdown(rows, _COLUMNS) + "\n"


_COLUMNS = [
    *("name", "dataset", "passes", "epochs", "schedule", "seed", "num_particles", "keep"),
    *("test_log_likelihood", "test minus rws", "tight_log_likelihood", "tight minus rws"),
    *("annealed_log_likelihood", "annealed minus rws"),
    *("test_ess", "tight_ess", "pareto_k", "tight_pareto_k", "kl_to_prior", "active_units"),
    *("skipped_updates", "train_seconds", "cpu_ms_per_step"),
]


def settings(cells: list[Cell]) -> dict[tuple, list[Cell]]:
    """(data set, passes, epochs, schedule, method) -> its cells, one for each seed."""
    groups: dict[tuple, list[Cell]] = {}
    for cell in in_order(cells):
        keys = ("dataset", "passes", "epochs", "schedule", "name")
        groups.setdefault(tuple(cell[key] for key in keys), []).append(cell)
    return groups


def verdict(cells: list[Cell]) -> str:
    """Each method over the seeds of a setting: both bounds, their spread, their lead over rws."""
    rows = []
    for (dataset, passes, epochs, schedule, name), group in settings(cells).items():
        row = {"dataset": dataset, "passes": passes, "epochs": epochs, "schedule": schedule}
        row |= {"method": name, "seeds": len(group)}
        for bound in ("test", "tight", "annealed"):
            known = [cell for cell in group if f"{bound}_log_likelihood" in cell]
            values = [cell[f"{bound}_log_likelihood"] for cell in known]
            leads = [minus_rws(cell, cells, bound) for cell in known]
            row[bound] = _mean_and_spread(values)
            row[f"{bound} minus rws"] = _mean_and_spread([lead[0] for lead in leads if lead])
        rows.append(row)
    return markdown(rows, list(rows[0])) + "\n"


def _mean_and_spread(values: list[float]) -> str:
    """Their mean, and in brackets their standard deviation where there are several."""
    if not values:
        return "-"
    spread = f" ({np.std(values, ddof=1):.2f})" if len(values) > 1 else ""
    return f"{np.mean(values):.2f}{spread}"
