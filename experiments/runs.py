"""A run from its settings to its result: train, evaluate, draw."""

from typing import Any

from experiments.fitting import Stopped, fit
from experiments.problem import build
from experiments.run_directory import RunDirectory
from experiments.scoring import draw, score
from experiments.settings import Settings
from experiments.stopping import StopRequest


def run_to_result(settings: Settings, run: RunDirectory, stop: StopRequest) -> dict[str, Any]:
    """Train (on), evaluate, draw and write result.json; a run that has a result is left as it is.

    Raises:
        Stopped: someone asked for it; what is done so far is saved.
    """
    if result := run.result():
        return result
    problem = build(settings)

    def check() -> None:
        if stop:
            raise Stopped

    state = fit(problem, settings, run, stop)
    check()
    figures = score(problem, settings, state.params, check)
    draw(problem, settings, state.params, run)
    last = run.metrics()[-1]
    names = ("method", "dataset", "epochs", "num_particles", "seed")
    run.update_result(
        {name: getattr(settings, name) for name in names}
        | {"source": problem.dataset.source}
        | figures
        | {
            "skipped_updates": last["skipped_updates"],
            "seconds": last["seconds"],
            "steps_per_second": last["step"] / last["seconds"],
        }
    )
    return run.result()
