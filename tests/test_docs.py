"""The example of a page runs as it stands."""

import re
from pathlib import Path
from typing import Any

PAGES = Path(__file__).parents[1] / "docs"


def run_page(name: str) -> dict[str, Any]:
    """What the blocks of a page leave, one after the other."""
    blocks = re.findall(r"```python\n(.*?)```", (PAGES / name).read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, name, "exec"), names)
    return names


def test_undirected_models() -> None:
    names = run_page("undirected.md")
    found, rbm, test = names["found"], names["rbm"], names["test"]
    assert abs(found.gap) < 0.5
    # A model of independent pixels has about -27 nats; the machine must have learned more.
    assert -24.0 < float(rbm.log_prob(test, found.log_z).mean()) < -18.0


def test_discrete_vaes() -> None:
    names = run_page("discrete_vaes.md")
    found = names["found"]
    assert abs(names["prior"].gap) < 0.5
    # Independent pixels have about -27 nats here too; twenty images have an error of one.
    assert -26.0 < found.mean < -18.0
    assert abs(found.mean - found.mean_as_released) < 1.0
