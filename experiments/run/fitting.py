"""The training loop of a run on disk: interrupted at any moment, it goes on to the same numbers."""

import time
from collections.abc import Callable
from typing import Any

import jax
from tqdm import tqdm

from experiments.output.tables import mean_and_std
from experiments.run.choices import ORDERS, choose_binarization, look_up
from experiments.run.continuation import continued
from experiments.run.hosts import from_first, gather, on_first
from experiments.run.initial_state import each_replica, initial_state
from experiments.run.problem import Problem
from experiments.run.progress import Bars, progress_bar
from experiments.run.run_directory import RunDirectory
from experiments.run.scoring import Evaluate, test_metrics
from experiments.run.settings import Settings
from experiments.run.stopping import StopRequest
from remjax.sharding import replicate
from remjax.training import checkpoints
from remjax.training.epochs import make_epoch
from remjax.training.replicas import replicas_in_flight, train_replicas
from remjax.training.steps import TrainState, metric_means

# A compiled call lasts about this long. Between calls, signals are handled and the bar moves.
_SECONDS_PER_CALL = 1.0
# A checkpoint within an epoch, for epochs that last hours.
_SECONDS_PER_CHECKPOINT = 300.0


class Stopped(Exception):
    """Someone asked the run to stop; everything done so far is saved."""


def fit(
    problem: Problem,
    settings: Settings,
    run: RunDirectory | None,
    stop: StopRequest,
    evaluate: Evaluate,
    write_line: Callable[[str], None] = tqdm.write,
    bars: Bars = progress_bar,
) -> TrainState:
    """Train until the last epoch, from the latest checkpoint if there is one.

    How often the run was interrupted, and where, changes no number: an epoch is cut into calls of
    about a second, and a cut changes nothing (`training.make_epoch`).

    Args:
        problem: the run's parts.
        settings: of the run.
        run: its directory; None on every host but the first.
        stop: any host may ask for it.
        evaluate: for the test images during training, where the settings ask for it.
        write_line: prints the line about each epoch.
        bars: makes the bar over the updates.

    Raises:
        Stopped: someone asked for it; the state is saved.
        InputError: the disk is full or cannot be written.
    """
    steps_per_epoch, last = problem.steps_per_epoch, settings.epochs * problem.steps_per_epoch
    state, seconds_before = _begin(problem, settings, run)
    step = int(state.step)
    if step == last:
        return state
    data = replicate(problem.mesh, problem.dataset.train)
    with bars(total=last, initial=step, unit="step", desc="compiling") as bar:
        # Compiled before the clock starts: the speed of a run is that of its updates.
        advance = _updates(problem, settings).lower(state, data, 1).compile()
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
                metrics = _epoch_metrics(problem, settings, evaluate, state)
                if run is not None:
                    metrics |= {"seconds": clock.seconds, "images_per_second": images}
                    run.log(metrics)
                    write_line(_line(metrics, settings.epochs))
            if step % steps_per_epoch == 0 or stopping or due:
                on_first(lambda step=step, state=state: _save(run, step, state, clock.seconds))
                clock.checkpoint_saved()
            if stopping and step < last:
                raise Stopped
    return state


def _begin(
    problem: Problem, settings: Settings, run: RunDirectory | None
) -> tuple[TrainState, float]:
    """The state to start from, on every host, and the seconds of training until then."""
    state = initial_state(problem, settings)
    found = on_first(lambda: _resumed(run, state, settings, problem.steps_per_epoch))
    state, seconds = found or (state, 0.0)
    return replicate(problem.mesh, from_first(state)), seconds


def _updates(problem: Problem, settings: Settings) -> Any:
    """The jitted (state, data, number of updates) -> state, of all replicas at once."""
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
    devices = 1 if problem.mesh is None else problem.mesh.size
    at_a_time = replicas_in_flight(
        passes=-(-settings.batch_size * settings.num_particles // devices),
        keep=settings.keep,
        data_size=problem.dataset.train.shape[1],
    )
    return train_replicas(advance, at_a_time=at_a_time)


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


def _epoch_metrics(
    problem: Problem, settings: Settings, evaluate: Evaluate, state: TrainState
) -> dict[str, Any]:
    """The metrics of an epoch that are not the clock's."""
    step = int(state.step)
    epoch = step // problem.steps_per_epoch
    metrics = _metrics(state, settings) | {"epoch": epoch, "step": step}
    if settings.eval_every and epoch % settings.eval_every == 0:
        replicas = [one.params for one in each_replica(state, settings)]
        metrics |= test_metrics(problem, settings, evaluate, replicas)
    return metrics


def _metrics(state: TrainState, settings: Settings) -> dict[str, float]:
    """The metrics of an epoch; of replicas, their means and standard deviations."""
    states = each_replica(state, settings)
    each = [metric_means(one) for one in states]
    skipped = {"skipped_updates": sum(int(one.skipped_updates) for one in states)}
    return each[0] | skipped if len(each) == 1 else mean_and_std(each) | skipped


def _line(metrics: dict[str, float], epochs: int) -> str:
    skipped = metrics["skipped_updates"]
    return (
        f"epoch {metrics['epoch']:>3}/{epochs}  log_evidence {metrics['log_evidence']:9.2f} nats  "
        f"ess {metrics['ess']:6.1f}  {metrics['images_per_second']:7,.0f} images/s  "
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
