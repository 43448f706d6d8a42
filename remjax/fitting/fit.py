"""A fit in one call: the estimator, the epochs, the held-out rows, the history."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm.auto import tqdm

from remjax.data.binarization import Binarization, leaving_the_end, unchanged
from remjax.data.checks import check_rows
from remjax.data.dataset import seeded_split
from remjax.data.values import value_facts
from remjax.errors import InputError
from remjax.evaluation.importance_sampling import Evaluation, make_log_likelihood
from remjax.fitting.fitted import Fit, Fitted, Metrics, Rows, rows_of
from remjax.fitting.networks import default_networks
from remjax.methods.importance_weighted import iwae
from remjax.methods.method import Method, make_estimator
from remjax.methods.row import Particles
from remjax.training.epochs import Epochs, make_epoch
from remjax.training.optimizers import adam
from remjax.training.steps import TrainState, init_train_state, metric_means
from remjax.types import Model, Params, Recognition, Support

History = Sequence[Metrics]

_VALID_PARTICLES = 100
_RATE = 1e-3


def fit(
    x: Rows,
    model: Model | None = None,
    recognition: Recognition | None = None,
    method: Method = iwae,
    particles: Particles | None = None,
    *,
    epochs: int = 100,
    batch_size: int | None = None,
    optimizer: optax.GradientTransformation | None = None,
    seed: int = 0,
    binarization: Binarization = unchanged,
    valid_fraction: float = 0.0,
    patience: int | None = None,
    start: Fitted | None = None,
    progress: bool = True,
    on_epoch: Callable[[History], object] | None = None,
) -> Fit:
    """Fit a model and its recognition network to rows.

    It is `make_estimator`, `init_train_state` and `make_epoch`, called for each epoch in turn.

    Args:
        x: rows [N, X] or images [N, H, W], on the host. NaN for a missing value, where the model's
            likelihood is `models.marginalized`; the default networks see to that.
        model: p_theta(x, z); by default `default_networks` for x, which says what it chose.
        recognition: r_eta(z | x), given where the model is.
        method: how they are fitted.
        particles: how many; 10 by default.
        epochs: passes over the rows.
        batch_size: rows per update; 100 by default, or a tenth of fewer than 1,000.
        optimizer: optax, over `Params`; Adam with a rate of 0.001 by default.
        seed: of the parameters, the order, the particles and the rows held out.
        binarization: of grey pixels into bits, anew for each batch as
            `data.binarization.per_minibatch`, or not.
        valid_fraction: of the rows, held out; their log-likelihood is in the history.
        patience: stop when the log-likelihood of the rows held out has not risen for so many
            epochs, and keep the parameters of the best epoch.
        start: a fit whose parameters this one starts from.
        progress: whether a bar shows how it goes, in a notebook as in a terminal.
        on_epoch: called with the history after each epoch: for a plot, or another's dashboard.

    Returns:
        The fit. It shares nothing with others, and the same arguments give the same numbers.

    Raises:
        InputError: for a model without its recognition network or the other way about, numbers that
            cannot be, and rows that the model has no density for, naming the first.
    """
    rows = rows_of(x)
    if (model is None) != (recognition is None):
        raise InputError("model and recognition go together: give both, or neither")
    check_rows(rows, Support(missing=True))
    networks = None
    if model is None or recognition is None:
        networks = default_networks(value_facts(rows))
        model, recognition = networks.build()
    train, valid = _held_out(rows, valid_fraction, patience, seed)
    if binarization is not unchanged:
        # As it will be seen at every evaluation: the bits of a row held out are drawn once.
        index, of_x = jnp.arange(len(valid)), leaving_the_end(binarization, model.support.condition)
        valid = np.asarray(of_x(jax.random.key(seed), 0, 0, index, jnp.asarray(valid)))
    batch_size = batch_size or min(100, max(1, len(train) // 10))
    estimator = make_estimator(model, recognition, method, particles or Particles(10))
    optimizer = optimizer or adam(_RATE)
    loop = _Loop(
        epoch=make_epoch(
            estimator,
            optimizer,
            num_data=len(train),
            batch_size=batch_size,
            binarization=binarization,
        ),
        data=jnp.asarray(train),
        valid=valid,
        evaluate=make_log_likelihood(model, recognition, num_particles=_VALID_PARTICLES),
        steps_per_epoch=len(train) // batch_size,
        patience=patience,
        progress=progress,
        on_epoch=on_epoch,
        seed=seed,
    )
    state = init_train_state(estimator, optimizer, jax.random.key(seed), train)
    if start is not None:
        state = _started(state, start)
    begun = Fit(
        model=model,
        recognition=recognition,
        params=state.params,
        networks=networks,
        row_shape=np.shape(x)[1:],
        history=(),
        go_on=loop.run,
        state=state,
    )
    return loop.run(begun, epochs)


class _Loop(NamedTuple):
    """What a fit goes on with."""

    epoch: Epochs
    data: jax.Array
    valid: np.ndarray
    evaluate: Callable[..., Evaluation]
    steps_per_epoch: int
    patience: int | None
    progress: bool
    on_epoch: Callable[[History], object] | None
    seed: int

    def run(self, fit: Fit, epochs: int) -> Fit:
        """The fit after so many more epochs, or when patience ends."""
        if epochs < 1:
            raise InputError(f"epochs is {epochs}: give a positive number")
        # Steps use up the state that they are given, and the fit that begins stays as it is.
        state: TrainState = jax.tree.map(jnp.copy, fit.state)
        history = list(fit.history)
        best = _Best.of(fit)
        with tqdm(total=epochs, unit="epoch", disable=not self.progress) as bar:
            for _ in range(epochs):
                began = time.perf_counter()
                state = jax.block_until_ready(self.epoch(state, self.data, self.steps_per_epoch))
                history.append(self._metrics(state, history, time.perf_counter() - began))
                bar.update(1)
                bar.set_postfix_str(_shown(history[-1]))
                best = best.with_epoch(history, state.params)
                if self.on_epoch is not None:
                    self.on_epoch(tuple(history))
                if self.patience is not None and len(history) - best.epoch >= self.patience:
                    break
        params = state.params if self.patience is None else best.params
        # The state goes on from the last epoch, and not from the best.
        return dataclasses.replace(
            fit, params=jax.tree.map(jnp.copy, params), history=tuple(history), state=state
        )

    def _metrics(self, state: TrainState, history: History, seconds: float) -> Metrics:
        before = history[-1]["seconds"] if history else 0.0
        metrics = metric_means(state) | {"epoch": len(history) + 1, "seconds": before + seconds}
        if len(self.valid):
            found = self.evaluate(state.params, jax.random.key(self.seed), self.valid)
            metrics["valid_log_likelihood"] = found.mean
        return metrics


class _Best(NamedTuple):
    """The best epoch by the rows held out.

    Attributes:
        epoch: its number; 0 for none yet.
        value: its log-likelihood, nats.
        params: after it.
    """

    epoch: int
    value: float
    params: Params

    @staticmethod
    def of(fit: Fit) -> "_Best":
        """The best of the epochs so far, whose parameters those of the fit are."""
        values = fit.column("valid_log_likelihood")
        if not len(values) or np.isnan(values).all():
            return _Best(0, -np.inf, fit.params)
        epoch = int(np.nanargmax(values))
        return _Best(epoch + 1, float(values[epoch]), fit.params)

    def with_epoch(self, history: History, params: Params) -> "_Best":
        """The better of this one and the last epoch of the history."""
        value = history[-1].get("valid_log_likelihood", -np.inf)
        if not value > self.value:
            return self
        return _Best(len(history), value, jax.tree.map(jnp.copy, params))


def _held_out(
    rows: np.ndarray, fraction: float, patience: int | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The rows that are trained on, and those that are held out."""
    if patience is not None and (patience < 1 or fraction == 0.0):
        raise InputError(
            f"patience is {patience} with valid_fraction {fraction}: give both a positive number, "
            "as valid_fraction=0.1, patience=10"
        )
    if not 0.0 <= fraction < 1.0:
        raise InputError(f"valid_fraction is {fraction}: give a number from 0 to below 1")
    num_valid = round(fraction * len(rows))
    if fraction and not 1 <= num_valid < len(rows):
        raise InputError(f"valid_fraction is {fraction} of {len(rows)} rows: there is none to hold")
    if not num_valid:
        return rows, rows[:0]
    return seeded_split(rows, len(rows) - num_valid, num_valid, seed)


def _started(state: TrainState, start: Fitted) -> TrainState:
    """The state with the parameters of another fit."""
    old, new = (jax.tree.structure(one.params) for one in (start, state))
    if old != new:
        raise InputError(
            "start was fitted with other networks: give the same model and recognition"
        )
    return state._replace(params=jax.tree.map(jnp.copy, start.params))


def _shown(metrics: Metrics) -> str:
    names = ("log_evidence", "valid_log_likelihood")
    return ", ".join(f"{name} {metrics[name]:.2f}" for name in names if name in metrics)
