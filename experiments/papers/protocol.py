"""What a paper's protocol is: one value with its runs, its figures, its claims and its pictures.

A protocol is a list of cells. A cell is a run together with what the paper states of it; the report
puts the result of the run beside the paper's figure.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.run.kinds import chosen, kind_of
from experiments.run.presets import PRESETS, form_of
from experiments.run.settings import DEFAULTS, Settings
from experiments.run.stopping import StopRequest
from remjax.errors import InputError

# Smaller than the training sets of the scales above smoke: they are used whole.
SMALL_DATASETS = ("digits", "freyfaces")
# The value of a setting that the paper leaves open.
NOT_STATED = "not stated"

Result = dict[str, Any]
# Where in its paper a cell belongs, as (data set, method) or (figure, line, value).
Place = tuple[Any, ...]


class Scale(NamedTuple):
    """How much of a protocol is run.

    Attributes:
        settings: take precedence over those of the preset.
        values: the name of what the protocol varies -> its values, as {"particles": (5, 50)}.
    """

    settings: Mapping[str, Any]
    values: Mapping[str, Any]


class Plan(NamedTuple):
    """What the command line asks for.

    Attributes:
        root: folder of the sweep; its runs are in root/cells.
        scale: how much is run, with the values that flags replaced.
        preset: the settings that every run starts from.
        data_dir: folder of the data files; None for the default one.
        seeds: of each run; None for those of the scale.
    """

    root: Path
    scale: Scale
    preset: str
    data_dir: str | None = None
    seeds: int | None = None

    def settings(self, method: str, *layers: Mapping[str, Any]) -> Settings:
        """The settings of a cell: the model's defaults, the preset's, the layers', then the flags'.

        Settings that the model or the method does not have are left out. Where no more particles
        are drawn than would carry the gradient, all of them do. The smallest data sets are used
        whole.

        Args:
            method: as the papers name it; a preset may run another form of it.
            layers: settings, of which later ones take precedence; they name the data set, and the
                model where it is not the default.

        Raises:
            InputError: for settings that cannot be.
        """
        name = form_of(method, self.preset)
        given: dict[str, Any] = {"data_dir": self.data_dir} | dict(PRESETS[self.preset])
        for layer in layers:
            given |= layer
        if self.seeds is not None:
            if self.seeds < 1:
                raise InputError(f"--seeds={self.seeds} cannot be: give a positive number")
            given["num_replicas"] = self.seeds
        if given["dataset"] in SMALL_DATASETS and (given.get("train_size") or 0) > 1_000:
            del given["train_size"]
        model = given.get("model", DEFAULTS["model"])
        given = dict(kind_of(model).defaults) | chosen(given, model, name)
        if (given.get("keep") or 0) >= given.get("num_particles", DEFAULTS["num_particles"]):
            del given["keep"]
        return Settings.from_mapping(given | {"method": name})


class Cell(NamedTuple):
    """A run, and what the paper states of it.

    Attributes:
        place: where in the paper it belongs; figures and claims refer to it by this.
        name: the folder of the run in DIR/cells, unless an earlier cell has the same settings.
        settings: of the run.
        row: the columns that name its row of the table; empty for a run that only a picture shows.
        stated: the paper's value of each setting that it states, or NOT_STATED;
            "last learning rate" may be among them.
        remarks: what else differs from the paper.
    """

    place: Place
    name: str
    settings: Settings
    row: Mapping[str, Any] = {}
    stated: Mapping[str, Any] = {}
    remarks: tuple[str, ...] = ()


class Outcome(NamedTuple):
    """A cell whose run is finished.

    Attributes:
        cell: what was run.
        result: of the run; figures that diverged are NaN.
        folder: of the run.
    """

    cell: Cell
    result: Result
    folder: Path


class Claim(NamedTuple):
    """That runs at one place of the paper are better than those at another, or as good.

    Attributes:
        text: in words.
        where: in the paper: data set, layers, figure.
        better: the place of the run that is said to be better.
        worse: the place of the other.
        equal: whether the claim is that neither is better.
        remarks: on the claim.
    """

    text: str
    where: str
    better: Place
    worse: Place
    equal: bool = False
    remarks: tuple[str, ...] = ()


class Table(NamedTuple):
    """A table of the report.

    Attributes:
        name: of its files, without suffix.
        title: of its picture.
        rows: column -> cell.
        remarks: on each row.
        notes: stand below it, before the remarks.
    """

    name: str
    title: str
    rows: Sequence[Mapping[str, Any]]
    remarks: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def _no_tables(*_: object) -> Iterable[Table]:
    return ()


def _nothing_further(*_: object) -> Sequence[Outcome]:
    return ()


class Protocol(NamedTuple):
    """The protocol of a paper.

    Attributes:
        name: of its command, `python -m experiments.<name>`.
        title: of the table.
        presets: the names that --preset may have, the default first.
        scales: name -> how much is run.
        flags: the values of the scale that a flag of the same name replaces -> what they are.
        parts: of the data whose log-likelihood is reported: "train", "test".
        paper: place -> the paper's negative log-likelihood of each part, in nats.
        cells: the runs of a plan, in the order in which they run.
        claims: of the paper, by the places of the cells that were run.
        claim_notes: what else to know of the claims.
        tables: those beside the comparison of likelihoods and the claims.
        further: runs that experiments.train cannot make, after the cells; stopped, they go on as
            cells do. Their outcomes come last and have no row in the comparison of likelihoods.
        draw: writes the pictures into the root of the plan, those of toy problems among them.
    """

    name: str
    title: str
    presets: tuple[str, ...]
    scales: Mapping[str, Scale]
    flags: Mapping[str, str]
    parts: tuple[str, ...]
    paper: Mapping[Place, tuple[float, ...]]
    cells: Callable[[Plan], Iterable[Cell]]
    draw: Callable[[Plan, Sequence[Outcome]], None]
    claims: Callable[[Sequence[Place]], Iterable[Claim]] | None = None
    claim_notes: tuple[str, ...] = ()
    tables: Callable[[Plan, Sequence[Outcome]], Iterable[Table]] = _no_tables
    further: Callable[[Plan, StopRequest], Sequence[Outcome]] = _nothing_further
