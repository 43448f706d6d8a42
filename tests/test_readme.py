"""The README's example runs as it stands."""

import math
import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_example_fits_the_digits() -> None:
    code = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL).group(1)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    metrics = names["remjax"].metric_means(names["state"])
    # A model of independent pixels has about -27 nats; the example must have learned more.
    assert -26.0 < metrics["log_evidence"] < 0.0
    assert all(math.isfinite(value) for value in metrics.values())
