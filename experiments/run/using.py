"""What a finished run is for: codes, reconstructions, samples and imputations of a user's rows."""

from collections.abc import Callable

import jax
import numpy as np
from absl import flags

from experiments.output.table_files import require_writable, write_table
from experiments.run.images import images_of
from experiments.run.opened_run import OpenedRun, open_run
from experiments.run.progress import progress_bar
from experiments.run.stopping import cleaning_up_on_sigterm
from remjax.data import Table
from remjax.data.checks import check_rows
from remjax.data.files import read_tables
from remjax.data.own import pixels_or_numbers
from remjax.data.tables import numbers_of
from remjax.errors import InputError
from remjax.evaluation import make_imputation
from remjax.fitting import Fitted, write_export

FLAGS = flags.FLAGS

# Rows of a file that become the model's together.
_ROWS = 10_000


def define_flags() -> None:
    """The run, and where the result goes."""
    flags.DEFINE_string("run_dir", None, "folder of the run, as experiments.train wrote it")
    flags.DEFINE_string(
        "out", None, "file for the result; its ending says which: .csv, .parquet, .npz or .npy"
    )
    flags.DEFINE_integer("seed", 0, "seed of what is drawn")


def define_data_flags() -> None:
    """The rows, for the commands that have some."""
    flags.DEFINE_string(
        "dataset",
        None,
        "file or folder with the rows, as experiments.train reads it; default the test part of the "
        "run's own data",
    )


def run_with(use: Callable[[OpenedRun], Table]) -> None:
    """Open the run that the flags name, use it, and write the result, whole or not at all."""
    require_run()
    if not FLAGS.out:
        raise InputError("--out is missing: name a file for the result, as --out=result.csv")
    require_writable(FLAGS.out)
    with cleaning_up_on_sigterm():
        result = use(open_run(FLAGS.run_dir))
        write_table(FLAGS.out, result)
    rows, columns = result.values.shape
    print(f"{rows:,} rows of {columns} columns are in {FLAGS.out}")


def require_run() -> None:
    """Refuse a command without --run_dir."""
    if not FLAGS.run_dir:
        raise InputError("--run_dir is missing: name the folder of a run")


def rows_of(run: OpenedRun) -> tuple[Table, np.ndarray]:
    """The rows that the flags name: as they stand in the file, and as the model sees them [N, X].

    Raises:
        InputError: they are not of the run's columns, or the model has no density for them.
    """
    if FLAGS.dataset is None:
        x = images_of(run.settings).test
        table = _in_file_units(run, x[:, : run.facts.size])
    else:
        size = run.settings.size_of_images
        found = read_tables(FLAGS.dataset, image_size=size)
        table = pixels_or_numbers(found.train)
        x = _as_seen(run, table, found.train_condition)
    try:
        check_rows(x, run.model.support)
    except InputError as error:
        raise InputError(f"{FLAGS.dataset or run.facts.name}: {error}") from error
    return table, x


def _as_seen(run: OpenedRun, table: Table, condition: Table | None) -> np.ndarray:
    """The rows, with what they are conditioned on behind them; some at a time."""
    facts = run.facts
    try:
        if facts.columns is None and table.values.shape[1] != facts.size:
            raise InputError(
                f"rows of {table.values.shape[1]} columns, and the run was trained on {facts.size}:"
                " give rows like those"
            )
        rows = np.empty((len(table.values), facts.form.shape[1]), np.float32)
        for start in range(0, len(rows), _ROWS):
            part = slice(start, start + _ROWS)
            some = _part(table, part)
            of_x = numbers_of(some) if facts.columns is None else facts.columns.to_model(some)
            rows[part, : facts.size] = of_x
            if facts.condition is not None:
                beside = some if condition is None else _part(condition, part)
                rows[part, facts.size :] = facts.condition.to_model(beside)
        return rows
    except InputError as error:
        raise InputError(f"{FLAGS.dataset}: {error}") from error


def _part(table: Table, part: slice) -> Table:
    return table._replace(values=table.values[part])


def _condition(run: OpenedRun) -> np.ndarray | None:
    """What --condition names, as the model sees it [C].

    Raises:
        InputError: it is missing or there is none, or a value is not of the run.
    """
    own, text = run.facts.condition, FLAGS.condition
    if own is None:
        if text is not None:
            raise InputError(
                f"--condition does nothing for {FLAGS.run_dir}, which has none: leave it out"
            )
        return None
    values = [] if text is None else text.split(",")
    if len(values) != len(own.names):
        raise InputError(
            f"{FLAGS.run_dir} is conditioned on {','.join(own.names)}: give a value of each, as "
            f"--condition={','.join(name.upper() for name in own.names)}"
        )
    places, levels = [], {}
    for name, value, known in zip(own.names, values, own.categories, strict=True):
        if known and isinstance(known[0], str):
            places.append(0.0)
            levels[name] = (value,)
        else:
            places.append(_number(name, value))
    try:
        return own.to_model(Table(own.names, np.array([places]), levels))[0]
    except InputError as error:
        found = str(error).removeprefix("row 0 holds ").removesuffix(": drop that row")
        raise InputError(f"--condition={text}: {found}") from error


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise InputError(f"--condition has {text!r} for {name}: give a number")
    return value


def _in_file_units(run: OpenedRun, x: np.ndarray) -> Table:
    """Rows of the model as those of the file that the run was trained on."""
    if run.facts.columns is not None:
        return run.facts.columns.to_table(x)
    return Table(tuple(f"pixel_{number}" for number in range(x.shape[1])), x)


def encode(run: OpenedRun) -> Table:
    """E_r[z | x] of each row: one column for each latent, z_1 nearest the data first."""
    _, x = rows_of(run)
    layers = jax.tree.leaves(_fitted(run).encode(x, seed=FLAGS.seed))
    several = len(layers) > 1
    names = [
        f"z{layer}_{unit}" if several else f"z{unit}"
        for layer, values in enumerate(layers, start=1)
        for unit in range(1, values.shape[1] + 1)
    ]
    return Table(tuple(names), np.concatenate(layers, axis=1))


def reconstruct(run: OpenedRun) -> Table:
    """E[x | z] at the code of each row, in the units of the file."""
    _, x = rows_of(run)
    return _in_file_units(run, _fitted(run).reconstruct(x, seed=FLAGS.seed))


def sample(run: OpenedRun) -> Table:
    """Rows drawn from the model, or their means, in the units of the file."""
    if FLAGS.num_samples < 1:
        raise InputError(f"--num_samples={FLAGS.num_samples} cannot be: give a positive number")
    drawn = _fitted(run).sample(
        FLAGS.num_samples, seed=FLAGS.seed, noise=FLAGS.noise, condition=_condition(run)
    )
    return _in_file_units(run, drawn)


def export(run: OpenedRun, folder: str) -> None:
    """Decoder and encoder as programs, with how the columns of the file enter them."""
    facts = run.facts
    parts = {"columns": facts.columns, "condition": facts.condition}
    about = {
        name: {**part._asdict(), "model_names": part.model_names}
        for name, part in parts.items()
        if part is not None
    }
    size = facts.form.shape[1]
    write_export(folder, run.model, run.recognition, run.params, size, about)


def _fitted(run: OpenedRun) -> Fitted:
    """The run as a fit in a notebook is: what both are for is the same."""
    return Fitted(
        run.model, run.recognition, run.params, None, row_shape=(run.facts.size,), history=()
    )


def impute(run: OpenedRun) -> Table:
    """The rows of the file, what is missing in them being its expectation given the others."""
    if run.settings.missing != "marginalize":
        raise InputError(
            f"{FLAGS.run_dir} is a run with --missing={run.settings.missing}: train one with "
            "--missing=marginalize"
        )
    table, x = rows_of(run)
    fill = make_imputation(run.model, run.recognition, num_particles=FLAGS.num_particles)
    with progress_bar(total=len(x), unit="row", desc="impute") as bar:
        filled = fill(run.params, jax.random.key(FLAGS.seed), x, bar.update)
    return _filled(table, _in_file_units(run, filled[:, : run.facts.size]))


def _filled(table: Table, imputed: Table) -> Table:
    """The table, with the entries of the other where its own are missing.

    Numbers that were there stay as they were, to the last digit, and so do the columns that the
    model does not have.
    """
    values, levels = np.array(table.values, np.float64), dict(table.levels)
    for column, name in enumerate(imputed.names):
        place = table.names.index(name) if name in table.names else column
        own, new = values[:, place], imputed.values[:, column]
        if name in levels:
            values[:, place], levels[name] = new, imputed.levels[name]
        else:
            values[:, place] = np.where(np.isnan(own), new, own)
    return table._replace(values=values, levels=levels)
