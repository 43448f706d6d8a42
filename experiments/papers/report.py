"""The report of a protocol: our figures beside the paper's, its claims, and its pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.output.files import replacing
from experiments.output.tables import bullets, lettered, markdown, shown
from experiments.papers.claims import claims_table
from experiments.papers.protocol import NOT_STATED, Cell, Outcome, Plan, Protocol, Table
from experiments.papers.seeds import of_each_seed, over_seeds
from experiments.pictures.tables import table_picture
from experiments.run.choices import SCHEDULES
from experiments.run.settings import Settings

_ERRORS = {
    "± seeds": "± seeds: standard error over the seeds, which share the images",
    "± images": "± images: standard error over the images, of one seed",
}
_BRACKETS = "in the remarks our setting stands first, the paper's in brackets"


def write_report(protocol: Protocol, plan: Plan, outcomes: Sequence[Outcome]) -> str:
    """Writes the tables and the pictures of a finished sweep.

    Args:
        protocol: what was run.
        plan: of the sweep; its root is where they go.
        outcomes: of every cell.

    Returns:
        The tables.
    """
    tables = [comparison_table(protocol, outcomes), *protocol.tables(plan, outcomes)]
    if protocol.claims is not None:
        claims = protocol.claims([outcome.cell.place for outcome in outcomes])
        found = claims_table(claims, outcomes, protocol.claim_notes)
        tables += [found] if found else []
    texts = [write_table(plan.root, table) for table in tables]
    protocol.draw(plan, outcomes)
    return "\n\n".join(texts)


def comparison_table(protocol: Protocol, outcomes: Sequence[Outcome]) -> Table:
    """Negative log-likelihoods in nats: the paper's, ours, its errors, and ours minus the paper's.

    The standard error over images is that of one seed; the one over seeds leaves out the choice of
    images, which all seeds share.
    """
    rows, remarks = [], []
    for outcome in outcomes:
        if not outcome.cell.row:
            continue
        values = protocol.paper.get(outcome.cell.place, (None,) * len(protocol.parts))
        for part, paper in zip(protocol.parts, values, strict=True):
            row = dict(outcome.cell.row) | ({"part": part} if len(protocol.parts) > 1 else {})
            rows.append(row | _likelihood(outcome, part, paper))
            remarks.append(differences(outcome))
    notes = [text for column, text in _ERRORS.items() if any(row[column] for row in rows)]
    notes += [_BRACKETS] if any(remarks) else []
    return Table("table", protocol.title, rows, remarks, notes)


def _likelihood(outcome: Outcome, part: str, paper: float | None) -> dict[str, float | None]:
    mean, over = over_seeds(of_each_seed(outcome.result, f"{part}_log_likelihood"))
    return {
        "paper": paper,
        "ours": -mean,
        "± seeds": over,
        "± images": outcome.result[f"{part}_log_likelihood_stderr"],
        "difference": None if paper is None else -mean - paper,
    }


def differences(outcome: Outcome) -> list[str]:
    """What differs from the paper: settings as `name ours (the paper's)`, then the remarks."""
    settings = outcome.cell.settings
    texts = [*_settings_that_differ(outcome.cell)]
    if settings.num_replicas > 1 and "num_replicas" not in outcome.cell.stated:
        texts.append(f"{settings.num_replicas} seeds (1)")
    texts += outcome.cell.remarks
    if "PNGs" in outcome.result["source"]:
        texts.append("OMNIGLOT from resized PNGs (chardata.mat)")
    if settings.dataset == "digits":
        texts.append("digits of 8 x 8 pixels (not in the paper)")
    return texts


def _settings_that_differ(cell: Cell) -> list[str]:
    texts = []
    for name, paper in cell.stated.items():
        if name == "last learning rate":
            ours = _last_rate(cell.settings)
            if abs(ours / paper - 1.0) > 0.01:
                texts.append(f"{name} {ours:.2g} ({paper:.2g})")
            continue
        ours = getattr(cell.settings, name)
        if paper == NOT_STATED or _all(ours) != _all(paper):
            texts.append(f"{name} {_all(ours)} ({_all(paper)})")
    return texts


def _all(value: Any) -> Any:
    """A count, of which None and 0 stand for all; other values as they are."""
    counts = value is None or type(value) is int
    return "all" if counts and not value else value


def _last_rate(settings: Settings) -> float:
    # By epochs: one step in each.
    schedule = SCHEDULES[settings.schedule](settings.learning_rate, 1, settings.epochs)
    return float(schedule(settings.epochs - 1))


def write_table(root: Path, table: Table) -> str:
    """Writes a table as <name>.md and <name>.png, and returns the Markdown.

    Columns without any value are left out.
    """
    letters, lines = lettered(table.remarks)
    rows = [{**row, "note": note or None} for row, note in zip(table.rows, letters, strict=True)]
    columns = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    notes = [*table.notes, *lines]
    text = f"{table.title}\n\n{markdown(rows, columns)}\n\n{bullets(notes)}"
    with replacing(root / f"{table.name}.md") as path:
        path.write_text(text + "\n", encoding="utf-8")
    cells = [[shown(row[column]) for column in columns] for row in rows]
    table_picture(root / f"{table.name}.png", columns, cells, notes=notes, title=table.title)
    return text
