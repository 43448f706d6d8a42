"""The training loop of a run on disk: interrupted at any moment, it goes on to the same numbers."""

import time

import jax
import jax.numpy as jnp

from experiments.methods import choose_binarization
from experiments.problem import Problem
from experiments.progress import progress_bar
from experiments.run_directory import RunDirectory
from experiments.settings import Settings
from experiments.stopping import StopRequest
from remjax import checkpoints
from remjax.training import TrainState, init_train_state, make_epoch, metric_means

# A compiled call lasts about this long: signals, the bar and the clock are seen between calls.
_SECONDS_PER_CALL = 1.0
# A checkpoint within an epoch, for epochs that last hours.
_SECONDS_PER_CHECKPOINT = 300.0


class Stopped(Exception):
    """Someone asked the run to stop; everything done so far is saved."""


def initial_state(problem: Problem, settings: Settings) -> TrainState:
    """The state before the first update."""
    return init_train_state(
        problem.estimator,
        problem.optimizer,
        jax.random.key(settings.seed),
        problem.dataset.train.shape[1],
    )


def fit(problem: Problem, settings: Settings, run: RunDirectory, stop: StopRequest) -> TrainState:
    """Train until the last epoch, from the latest checkpoint if there is one.

    How often the run was interrupted, and where, changes no number: an epoch is cut into calls of
    about a second, and a cut changes nothing (`training.make_epoch`).

    Raises:
        Stopped: someone asked for it; the state is saved.
        InputError: the disk is full or cannot be written.
    """
    state = initial_state(problem, settings)
    if checkpoints.latest_step(run.checkpoints) is not None:
        state = checkpoints.restore(run.checkpoints, state)
    step = int(state.step)
    steps_per_epoch, last = problem.steps_per_epoch, settings.epochs * problem.steps_per_epoch
    run.rewind(step // steps_per_epoch)
    if step == last:
        return state
    before = run.metrics()
    advance = make_epoch(
        problem.estimator,
        problem.optimizer,
        num_data=len(problem.dataset.train),
        batch_size=settings.batch_size,
        binarization=choose_binarization(problem.dataset, settings.binarization),
    )
    data = jnp.asarray(problem.dataset.train)
    with progress_bar(total=last, initial=step, unit="step", desc="compiling") as bar:
        # Compiled before the clock starts: the speed of a run is that of its updates.
        advance = advance.lower(state, data, 1).compile()
        clock = _Clock(before[-1]["seconds"] if before else 0.0)
        bar.set_description(settings.method)
        bar.unpause()
        while step < last:
            count = min(clock.steps_per_call, steps_per_epoch - step % steps_per_epoch)
            state = jax.block_until_ready(advance(state, data, count))
            step += count
            clock.tick(count)
            bar.update(count)
            images = clock.steps_per_second * settings.batch_size
            bar.set_postfix_str(f"{images:,.0f} images/s", refresh=False)
            if step % steps_per_epoch == 0:
                epoch = step // steps_per_epoch
                metrics = metric_means(state) | {
                    "epoch": epoch,
                    "step": step,
                    "skipped_updates": int(state.skipped_updates),
                    "seconds": clock.seconds,
                    "images_per_second": images,
                }
                run.log(metrics)
                bar.write(_line(metrics, settings.epochs))
            if step % steps_per_epoch == 0 or stop or clock.checkpoint_is_due:
                checkpoints.save(run.checkpoints, step, state)
                clock.checkpoint_saved()
            if stop and step < last:
                raise Stopped
    return state


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
        """Whether a checkpoint within the epoch is worth its while."""
        return time.perf_counter() - self._saved > _SECONDS_PER_CHECKPOINT

    def checkpoint_saved(self) -> None:
        """Saving is over; its time is not training."""
        self._saved = self._last = time.perf_counter()
