"""The training loop of a run on disk: interrupted at any moment, it goes on to the same numbers."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
from tqdm import tqdm

from experiments.output.tables import mean_and_std
from experiments.run.choices import ORDERS, choose_binarization, look_up
from experiments.run.continuation import continued
from experiments.run.hosts import from_first, gather, on_first
from experiments.run.initial_state import initial_state
from experiments.run.kind import Problem
from experiments.run.progress import Bars, progress_bar
from experiments.run.replicas import each_replica, local
from experiments.run.run_directory import RunDirectory
from experiments.run.settings import Settings
from experiments.run.stopping import StopRequest
from remjax.sharding import replicate
from remjax.training import checkpoints
from remjax.training.epochs import Epochs, make_epoch
from remjax.training.replicas import train_replicas
from remjax.training.steps import TrainState, metric_means

# A compiled call lasts about this long. Between calls, signals are handled and the bar moves.
_SECONDS_PER_CALL = 1.0
# A checkpoint within an epoch, for epochs that last hours.
_SECONDS_PER_CHECKPOINT = 300.0


class Stopped(Exception):
    """Someone asked the run to stop; everything done so far is saved."""


def fit(
    problem: Problem,
    run: RunDirectory | None,
    stop: StopRequest,
    write_line: Callable[[str], None] = tqdm.write,
    bars: Bars = progress_bar,
) -> TrainState:
    """Train until the last epoch, from the latest checkpoint if there is one.

    How often the run was interrupted, and where, changes no number: an epoch is cut into calls of
    about a second, and a cut changes nothing (`training.make_epoch`).

    Args:
        problem: the run's parts.
        run: its directory; None on every host but the first.
        stop: any host may ask for it.
        write_line: prints the line about each epoch.
        bars: makes the bar over the updates.

    Raises:
        Stopped: someone asked for it; the state is saved.
        InputError: the disk is full or cannot be written.
    """
    settings, steps_per_epoch = problem.settings, problem.steps_per_epoch
    last = settings.epochs * steps_per_epoch
    state, seconds_before = _begin(problem, run)
    step = int(state.step)
    if step == last:
        return state
    data = replicate(problem.mesh, problem.dataset.train)
    with bars(total=last, initial=step, unit="step", desc="compiling") as bar:
        # Compiled before the clock starts: the speed of a run is that of its updates.
        advance = _updates(problem).compile(state, data)
        clock = _Clock(seconds_before)
        if step and run is not None:
            write_line(f"goes on after {step:,} of {last:,} updates")
        bar.set_description(settings.method)
        bar.unpause()
        steps_per_call, stopping = 1, False
        while step < last:
            count = min(steps_per_call, steps_per_epoch - step % steps_per_epoch)
            state = jax.block_until_ready(advance(state, data, count))
            step += count
            clock.tick(count)
            bar.update(count)
            images = clock.steps_per_second * settings.batch_size * settings.num_replicas
            bar.set_postfix_str(f"{images:,.0f} images/s", refresh=False)
            # The hosts' clocks differ: that of the first one counts for all.
            answers = gather(clock.steps_per_call, bool(stop), clock.checkpoint_is_due)
            steps_per_call, due = int(answers[0, 0]), bool(answers[0, 2])
            stopping = answers[:, 1].any()
            if step % steps_per_epoch == 0:
                metrics = _epoch_metrics(problem, state)
                if run is not None:
                    metrics |= {"seconds": clock.seconds, "images_per_second": images}
                    run.log(metrics)
                    write_line(_line(problem, metrics))
            if step % steps_per_epoch == 0 or stopping or due:
                on_first(lambda step=step, state=state: _save(run, step, state, clock.seconds))
                clock.checkpoint_saved()
            if stopping and step < last:
                raise Stopped
    return state


def _begin(problem: Problem, run: RunDirectory | None) -> tuple[TrainState, float]:
    """The state to start from, on every host, and the seconds of training until then."""
    state = initial_state(problem)
    found = on_first(lambda: _resumed(run, state, problem.settings, problem.steps_per_epoch))
    state, seconds = found or (state, 0.0)
    return replicate(problem.mesh, from_first(state)), seconds


def _updates(problem: Problem) -> Epochs:
    """The updates of all replicas at once."""
    settings = problem.settings
    advance = make_epoch(
        problem.estimator,
        problem.optimizer,
        num_data=len(problem.dataset.train),
        batch_size=settings.batch_size,
        binarization=choose_binarization(problem.dataset, settings.binarization),
        order=look_up(ORDERS, "order", settings.order),
        mesh=problem.mesh,
    )
    if settings.num_replicas == 1:
        return advance
    return train_replicas(advance, at_a_time=problem.kind.replicas_at_a_time(problem))


def _resumed(
    run: RunDirectory, state: TrainState, settings: Settings, steps_per_epoch: int
) -> tuple[TrainState, float]:
    """The state of the latest checkpoint, or else the one to begin with; the seconds until then."""
    if checkpoints.latest_step(run.checkpoints) is not None:
        state = checkpoints.restore(run.checkpoints, state)
    elif settings.init_from is not None:
        state = continued(state, settings)
    run.rewind(int(state.step) // steps_per_epoch)
    return state, run.seconds_until(int(state.step))


def _save(run: RunDirectory, step: int, state: TrainState, seconds: float) -> None:
    run.keep_time(step, seconds)
    checkpoints.save(run.checkpoints, step, state)


def _epoch_metrics(problem: Problem, state: TrainState) -> dict[str, Any]:
    """The metrics of an epoch that are not the clock's."""
    settings, step = problem.settings, int(state.step)
    epoch = step // problem.steps_per_epoch
    states = each_replica(state, settings.num_replicas)
    metrics = _metrics(states) | {"epoch": epoch, "step": step}
    due = bool(settings.eval_every) and epoch % settings.eval_every == 0
    return metrics | _over_replicas([_measured(problem, local(one), due) for one in states])


def _measured(problem: Problem, state: TrainState, due: bool) -> dict[str, float]:
    """What the kind of model measures of one replica after an epoch; test images where due."""
    metrics = problem.kind.epoch_metrics(problem, state)
    return metrics | problem.kind.scoring.test_metrics(problem, state) if due else metrics


def _metrics(states: Sequence[TrainState]) -> dict[str, float]:
    """The metrics of the steps of an epoch; of replicas, their means and standard deviations."""
    skipped = {"skipped_updates": sum(int(one.skipped_updates) for one in states)}
    return _over_replicas([metric_means(one) for one in states]) | skipped


def _over_replicas(each: Sequence[dict[str, float]]) -> dict[str, float]:
    return each[0] if len(each) == 1 else mean_and_std(each)


def _line(problem: Problem, metrics: dict[str, float]) -> str:
    skipped = metrics["skipped_updates"]
    return (
        f"epoch {metrics['epoch']:>3}/{problem.settings.epochs}  {problem.kind.line(metrics)}  "
        f"{metrics['images_per_second']:7,.0f} images/s  "
        f"{metrics['seconds']:6.1f} s" + (f"  {skipped} updates skipped" if skipped else "")
    )


class _Clock:
    """Times the calls of one process and chooses their length."""

    def __init__(self, seconds_before: float) -> None:
        self.seconds = seconds_before
        self.steps_per_call = 1
        self.steps_per_second = 0.0
        self._last = self._saved = time.perf_counter()

    def tick(self, steps: int) -> None:
        """A call of so many steps has ended."""
        now = time.perf_counter()
        elapsed, self._last = now - self._last, now
        self.seconds += elapsed
        self.steps_per_second = steps / elapsed
        wanted = int(_SECONDS_PER_CALL * self.steps_per_second)
        self.steps_per_call = max(1, min(wanted, 2 * self.steps_per_call))

    @property
    def checkpoint_is_due(self) -> bool:
        """Whether it is time for a checkpoint within the epoch."""
        return time.perf_counter() - self._saved > _SECONDS_PER_CHECKPOINT

    def checkpoint_saved(self) -> None:
        """Saving is over; its time is not training."""
        self._saved = self._last = time.perf_counter()
