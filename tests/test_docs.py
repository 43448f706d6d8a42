"""The example of a page runs as it stands."""

import re
from pathlib import Path

import jax
import numpy as np

PAGES = Path(__file__).parents[1] / "docs"


def names_of(page: str) -> dict:
    """What the examples of a page leave, run one after another."""
    names = {}
    for block in re.findall(r"```python\n(.*?)```", (PAGES / page).read_text(), re.DOTALL):
        exec(compile(block, page, "exec"), names)
    return names


def test_a_fit_in_one_call() -> None:
    names = names_of("fit.md")
    assert names["by_model"] < 0.9 * names["by_means"]
    jax.tree.map(np.testing.assert_array_equal, names["params"], names["state"].params)


def test_undirected_models() -> None:
    names = names_of("undirected.md")
    found, rbm, test = names["found"], names["rbm"], names["test"]
    assert abs(found.gap) < 0.5
    # A model of independent pixels has about -27 nats; the machine must have learned more.
    assert -24.0 < float(rbm.log_prob(test, found.log_z).mean()) < -18.0
    assert abs(names["likelihood"].value - rbm.log_prob(test, found.log_z).mean()) < 0.3


def test_discrete_vaes() -> None:
    names = names_of("discrete_vaes.md")
    found = names["found"]
    assert abs(names["prior"].gap) < 0.5
    # Independent pixels have about -27 nats here too; twenty images have an error of one.
    assert -26.0 < found.mean < -18.0
    assert abs(found.mean - found.mean_as_released) < 1.0


def test_sequences() -> None:
    names = names_of("sequential.md")
    start, fitted, true = names["start"], names["fitted"], names["true"]
    # The fit may be above the truth: it is the training set that both are scored on.
    assert start < true
    assert true - 0.3 < fitted


def test_every_test_that_a_page_names_exists() -> None:
    """As `folder/test_file.py::test_name`, below tests/."""
    tests = Path(__file__).parent
    page = (PAGES / "undirected_tests.md").read_text()
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", page)
    assert len(named) == page.count("::") > 100
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (tests / file).is_file() or f"\ndef {name}(" not in (tests / file).read_text()
    ]
    assert not missing
