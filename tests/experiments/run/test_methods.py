"""Names of the command line find their functions, and only options that mean something pass."""

import dataclasses
import types
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from experiments.run import choices, families, help, method_options, methods
from experiments.run.data_facts import facts_of
from experiments.run.method_options import MethodOptions
from experiments.run.networks import build_networks, gaussian, sigmoid_belief
from remjax.data import Dataset
from remjax.data.binarization import per_epoch, unchanged
from remjax.errors import InputError
from remjax.methods.method import Method
from remjax.methods.signals import arithmetic_mean
from remjax.models.initializations import glorot


def _dataset(*, binary=False, real_valued=False):
    images = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    return Dataset("x", images, images, images, (2, 2), binary, real_valued, "")


def test_message_has_the_nearest_names():
    assert choices.look_up({"vae": 1}, "method", "vae") == 1
    with pytest.raises(InputError, match=r"--method=rm_v1 is not known: use one of rem_v1, rem_v2"):
        choices.look_up(methods.METHODS, "method", "rm_v1")
    with pytest.raises(
        InputError, match=r"use one of burda, burda_rounded, vahdat, constant, linear$"
    ):
        choices.look_up(choices.SCHEDULES, "schedule", "zzz")
    # Few are all named, the nearest first; of many the nearest alone.
    with pytest.raises(InputError, match=r"one of linear, burda, burda_rounded, vahdat, constant$"):
        choices.look_up(choices.SCHEDULES, "schedule", "lin")
    with pytest.raises(InputError, match=rf"\(the nearest of {len(methods.METHODS)}\)$"):
        choices.look_up(methods.METHODS, "method", "rm_v1")


@pytest.mark.parametrize("name", choices.SCHEDULES)
def test_schedules_that_end_with_the_last_epoch(name):
    """Of them alone a run of more epochs has other rates from the beginning."""
    few, more = (choices.SCHEDULES[name](0.1, 10, epochs) for epochs in (3, 6))
    same = all(few(step) == more(step) for step in range(30))
    assert same == (name not in choices.ENDING_SCHEDULES)


def matches(name):
    """Whether a method has an s that matches the particles of r."""
    return name.startswith("rem") and name != "rem_curvature"


def test_options_that_a_method_has():
    for method, family in methods.METHODS.items():
        assert methods.accepts(method, "num_particles") == (family is methods.WITH_RECOGNITION)
        assert method_options.applies("latent_size", method)
        assert method_options.applies("covariance", method) == matches(method)


def test_every_option_is_that_of_some_method_and_says_so():
    for field in dataclasses.fields(MethodOptions):
        having = [name for name in methods.METHODS if methods.accepts(name, field.name)]
        assert having
        for_some = field.metadata["meaning"].endswith(f"; for {', '.join(having)}")
        assert for_some == (field.name != "chunk_size")


def test_every_public_method_of_the_library_has_a_name():
    """Values, and functions that need no argument; the release's form stands beside them."""
    assert {"iwae", "vae", "rem_v1", "wake_sleep", "disarm"} <= methods.METHODS.keys()
    assert not {"rem", "with_dreams", "make_estimator"} & methods.METHODS.keys()
    for name in methods.WITH_RECOGNITION.methods:
        assert isinstance(methods.default_of(name), Method)
        assert str(methods.default_of(name).objective)


def test_help_has_the_default_and_the_names_of_a_table():
    knobs = methods.knobs()
    assert knobs["alpha"].meaning.endswith("(default 0.5); for vr")
    assert "geometric_mean, arithmetic_mean (default geometric_mean)" in knobs["stand_in"].meaning
    assert "(default off)" in knobs["lagged"].meaning
    assert knobs["covariance"].methods == tuple(name for name in methods.METHODS if matches(name))


def test_every_keyword_of_a_method_is_an_option():
    """But for the parts that are no number and no name."""
    for name, family in methods.METHODS.items():
        keywords = set(families.parameters(family.methods[name]))
        assert keywords - {"baseline"} <= method_options.NAMES, name  # --baseline_size


def test_options_reach_the_estimators_as_they_take_them():
    given = MethodOptions(alpha=0.25, lagged=False, stand_in="arithmetic_mean")
    assert given.for_estimator() == {
        "alpha": 0.25,
        "lagged": False,
        "stand_in": arithmetic_mean,
    }
    with pytest.raises(InputError, match=r"--signals=all is not known: use one of local"):
        MethodOptions(signals="all")


@pytest.mark.parametrize(
    ("method", "layers", "scored"),
    [
        ("vae", (3,), 10),
        ("miwae", (3,), 10),
        ("rem_v1", (3,), 20),
        ("rem_v2", (3, 2), 20),
        ("rem_mixture", (3,), 20),
        ("rem_pooled", (3,), 20),
        ("rem_dreg", (3,), 20),
        ("rem_v1_leaky", (3,), 20),
        ("rws_defensive", (3,), 20),
        ("nvil", (3, 2), 10),
        ("wake_sleep", (3,), 10),
        ("disarm", (3,), 10),
        ("disarm", (3, 2), 20),
    ],
)
def test_particles_scored_per_datapoint(method, layers, scored):
    """K = 10 for each set of particles, and for each layer of DisARM; known ones not again."""
    of_bits = method in ("disarm", "nvil")
    model, recognition = build_networks(
        facts_of(_dataset()),
        sigmoid_belief if of_bits else gaussian,
        latent_sizes=layers,
        hidden_sizes=((2,),) * len(layers),
        initialization=glorot,
    )
    estimator = methods.build_estimator(method, model, recognition, {"num_particles": 10})
    assert methods.particles_scored(estimator, 4) == scored


class _Phase(NamedTuple):
    """A method of another family."""

    steps: int

    def __str__(self):
        return f"{self.steps} steps"


def _short(steps: int = 1) -> _Phase:
    """Few steps.

    Args:
        steps: how many there are, as in Hinton et al. (2006). More would be better.
    """
    return _Phase(steps)


def _long(steps: int = 25, chains: int | None = None) -> _Phase:
    """Many steps.

    Args:
        steps: how many there are, as in Hinton et al. (2006).
        chains: how many go side by side; as many as images by default.
    """
    return _Phase(steps)


def _of_data(data: float) -> _Phase:
    """No method: it needs an argument."""
    return _Phase(int(data))


def test_a_family_is_what_a_module_has_of_one_kind():
    """Private names, values of other kinds and functions with a duty are none of it."""
    functions = {"short": _short, "long": _long, "_hidden": _short, "of_data": _of_data}
    module = types.SimpleNamespace(**functions, none=_Phase(0), number=3, phase=_Phase)
    found = families.public(module, _Phase)
    assert found == {"short": _short, "long": _long, "none": _Phase(0)}
    family = families.Family(_Phase, found, lambda phase: {"phase": str(phase)}, "legend")
    assert [str(family.default_of(name)) for name in found] == ["1 steps", "25 steps", "0 steps"]
    assert family.with_knobs("long", {"steps": 7}) == _Phase(7)
    assert [family.accepts(name, "chains") for name in found] == [False, True, False]
    knobs = families.knobs_of(found)
    assert knobs["steps"].meaning == (
        "how many there are, as in Hinton et al. (2006) (default 1; 25 for long); for short, long"
    )
    assert knobs["chains"].meaning == (
        "how many go side by side; as many as images by default; for long"
    )
    assert (knobs["steps"].kind, knobs["chains"].kind) == (int, int | None)


def test_no_name_is_that_of_two_methods():
    names = [name for family in methods.FAMILIES for name in family.methods]
    assert len(names) == len(set(names)) == len(methods.METHODS)


def test_option_that_a_method_lacks_is_named():
    with pytest.raises(InputError, match="--keep does nothing for --method=vae: leave it out"):
        methods.build_estimator("vae", None, None, {"num_particles": 3, "keep": 2})


def test_binarization_is_for_grey_pixels_only():
    assert choices.choose_binarization(_dataset(), "per_epoch") is per_epoch
    assert choices.choose_binarization(_dataset(binary=True), "per_epoch") is unchanged
    assert choices.choose_binarization(_dataset(real_valued=True), "per_epoch") is unchanged


def test_the_page_of_methods_has_rows_of_the_table():
    """As the command prints them, but for the width of the columns."""
    page = (Path(__file__).parents[3] / "docs" / "methods.md").read_text(encoding="utf-8")
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    shown = [cells for cells in lines if cells and cells[0] in methods.METHODS]
    assert len(shown) >= 8
    for cells in shown:
        (row,) = help.rows([cells[0]])
        assert cells == list(row.values())
