"""The example of a page runs as it stands."""

import re
from pathlib import Path

PAGES = Path(__file__).parents[1] / "docs"


def test_undirected_models() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (PAGES / "undirected.md").read_text(), re.DOTALL)
    names = {}
    for block in blocks:
        exec(compile(block, "undirected.md", "exec"), names)
    found, rbm, test = names["found"], names["rbm"], names["test"]
    assert abs(found.gap) < 0.5
    # A model of independent pixels has about -27 nats; the machine must have learned more.
    assert -24.0 < float(rbm.log_prob(test, found.log_z).mean()) < -18.0
