"""A run from its settings to its result: train, evaluate, draw."""

from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from experiments.run.fitting import Stopped, fit
from experiments.run.hosts import gather, on_first
from experiments.run.kind import Problem, kept
from experiments.run.problem import build
from experiments.run.progress import Bars, progress_bar
from experiments.run.replicas import each_replica, local, over_replicas
from experiments.run.run_directory import RunDirectory
from experiments.run.settings import Settings
from experiments.run.stopping import StopRequest
from remjax.errors import InputError


def run_to_result(
    settings: Settings,
    run: RunDirectory | None,
    stop: StopRequest,
    write_line: Callable[[str], None] = tqdm.write,
    bars: Bars = progress_bar,
    *,
    problem: Problem | None = None,
) -> dict[str, Any]:
    """Train, evaluate, draw and write result.json; a run that has its result is left as it is.

    Args:
        settings: of the run.
        run: its directory; None on every host but the first.
        stop: any host may ask for it.
        write_line: prints the line about each epoch.
        bars: makes the bars over the updates and over the images that are evaluated.
        problem: of these settings, where it is built already.

    Returns:
        The result; empty on every host but the first.

    Raises:
        Stopped: someone asked for it; what is done so far is saved.
    """
    result = run.result() if run is not None else {}
    # A run may go on to more epochs than those of its result, or to pictures that it has not drawn.
    drawn = not settings.pictures or (run is not None and run.has_pictures)
    if gather(result.get("epochs") == settings.epochs and drawn)[0, 0]:
        return result
    problem = build(settings) if problem is None else problem
    on_first(lambda: _require_same_data(run, problem))

    def check() -> None:
        if gather(bool(stop)).any():
            raise Stopped

    state = fit(problem, run, stop, write_line, bars)
    check()
    states = [local(one) for one in each_replica(state, settings.num_replicas)]
    scoring = problem.kind.scoring
    if run is not None:
        write_line(f"evaluating {scoring.announced(settings)}")
    each = [scoring.score(problem, one, check, bars) for one in states]
    if run is None:
        return {}
    problem.kind.keep(states[0], run)
    if settings.pictures:
        problem.kind.draw(problem, states[0], run, each[0])
    run.update_result(_result(problem, run, [kept(figures) for figures in each]))
    return run.result()


def _result(problem: Problem, run: RunDirectory, each: list[dict[str, Any]]) -> dict[str, Any]:
    """What result.json holds of a run, from the figures of each seed."""
    settings = problem.settings
    figures = each[0]
    if len(each) > 1:
        seeds = [{"seed": settings.seed + number} for number in range(len(each))]
        replicas = [seed | one for seed, one in zip(seeds, each, strict=True)]
        figures = over_replicas(each) | {"replicas": replicas}
    metrics = run.metrics()
    if not metrics:
        raise InputError(f"{run.path}/metrics.jsonl is gone: restore the file, or train again")
    last = metrics[-1]
    return (
        {name: getattr(settings, name) for name in problem.kind.scoring.recorded}
        | {"epochs": settings.epochs, "source": problem.dataset.source}
        | figures
        | {
            "skipped_updates": last["skipped_updates"],
            "seconds": last["seconds"],
            "steps_per_second": last["step"] / last["seconds"],
        }
    )


def _require_same_data(run: RunDirectory | None, problem: Problem) -> None:
    if run is not None:
        run.require_data(problem.dataset.source, problem.data_checksum, problem.facts.to_json())
