"""What `experiments.train --help` says: its flags in groups, those that most runs need first.

What only one method or one kind of model has is left out: --help=NAME shows it, for the name of a
method, as --help=vr, or of a kind of model, as --help=rbm.
"""

import dataclasses
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from absl import flags

from experiments.output.tables import markdown
from experiments.run.data_settings import DataSettings
from experiments.run.families import Family
from experiments.run.kinds import MODELS
from experiments.run.method_options import MethodOptions
from experiments.run.methods import METHODS, accepts, default_of, family_of, knobs
from experiments.run.network_settings import NETWORK_SETTINGS
from remjax.errors import InputError

_WIDTH = 100
_COMMON = (
    "run_dir",
    "resume",
    "preset",
    "dataset",
    "likelihood",
    "missing",
    "test_fraction",
    "standardize",
    "model",
    "method",
    "num_particles",
    "keep",
    "latent_size",
    "hidden_size",
    "epochs",
    "batch_size",
    "learning_rate",
    "seed",
    "eval_num_particles",
    "mesh",
)
_HOW = (
    "adam_b1",
    "adam_epsilon",
    "adam_initial_nu",
    "binarization",
    "epsilon_hat",
    "init_from",
    "max_gradient_norm",
    "optimizer",
    "order",
    "schedule",
    "split",
    "train_size",
    "warm_up",
    "weight_decay",
)
_EVALUATION = (
    "eval_activity",
    "eval_every",
    "eval_proposal",
    "eval_size",
    "pictures",
)
_DEVICES = (
    "bfloat16",
    "chunk_size",
    "compilation_cache",
    "coordinator",
    "host_index",
    "num_hosts",
    "num_replicas",
)


def _fields(of: type) -> set[str]:
    return {field.name for field in dataclasses.fields(of)}


def groups() -> Mapping[str, Iterable[str]]:
    """The flags that every run may have, by heading; each stands under one."""
    placed = {*_COMMON, *_HOW, *_EVALUATION, *_DEVICES}
    what = (_fields(DataSettings) | NETWORK_SETTINGS) - placed
    return {
        "The common ones": _COMMON,
        "What is fitted": sorted(what),
        "How it is fitted": _HOW,
        "Evaluation": _EVALUATION,
        "Devices, memory and time": _DEVICES,
    }


def of_kind(model: str) -> list[str]:
    """The flags that a kind of model has and that are in no group."""
    grouped = {name for names in groups().values() for name in names}
    return sorted(MODELS[model].settings - grouped)


def of_method(method: str) -> list[str]:
    """The flags that are knobs of a method."""
    own = _fields(MethodOptions) - {"keep", "chunk_size"}
    return sorted(name for name in own if accepts(method, name))


def explain(doc: str, name: str | None) -> str:
    """The text of --help, or of --help=NAME.

    Raises:
        InputError: nothing has this name.
    """
    if name is None:
        parts = [doc.strip(), *(_group(title, names) for title, names in groups().items())]
        own = ", ".join(method for method in METHODS if of_method(method))
        kinds = ", ".join(model for model in MODELS if of_kind(model))
        parts.append(
            _wrapped(f"A method's own flags are in --help=METHOD, for {own}.", "")
            + "\n"
            + _wrapped(f"A model's own flags are in --help=MODEL, for {kinds}.", "")
        )
        return "\n\n".join(parts)
    if name in METHODS:
        shown = family_table(family_of(name), [name])
        own = [f"--{option}: {text}" for option, text in meanings_of(name).items()]
        return "\n".join([shown, "", *(_wrapped(line, "", "    ") for line in own)])
    if name in MODELS:
        kind = MODELS[name]
        own = of_kind(name)
        parts = [
            _wrapped(f"Methods of --model={name}: {', '.join(kind.family.methods)}", ""),
            _wrapped(f"Defaults of its own: {_given(kind.defaults) or 'none'}", ""),
            *(
                _wrapped(f"With --dataset={dataset}: {_given(others)}", "")
                for dataset, others in kind.of_data.items()
            ),
        ]
        return "\n\n".join([*parts, *([_group("Flags of its own", own)] if own else [])])
    if name in flags.FLAGS:
        return _flag(name)
    raise InputError(
        f"--help={name} explains nothing: give the name of a method, of a model or of a flag"
    )


def listed(module: str, doc: str, name: str | None) -> str:
    """The text of --help of a command with few flags: all of them, in their order by name.

    Raises:
        InputError: --help=NAME is for `experiments.train`.
    """
    if name is not None:
        raise InputError(f"--help={name} explains nothing here: `train --help={name}` does")
    own = flags.FLAGS.get_key_flags_for_module(module)
    names = sorted({flag.name for flag in own} | {"compilation_cache"})
    return f"{doc.strip()}\n\n{_group('Flags', names)}"


def rows(names: Iterable[str]) -> list[dict[str, str]]:
    """A row for each of some methods of one family."""
    return [{"method": name, **family_of(name).row(default_of(name))} for name in names]


def family_table(family: Family, names: Iterable[str]) -> str:
    """Some methods of a family, a row for each, and what the columns mean."""
    shown = rows(names)
    return f"{markdown(shown, list(shown[0]))}\n\n{family.legend}"


def meanings_of(method: str) -> Mapping[str, str]:
    """The meaning of each option of a method: its knobs, then `keep` where it has that."""
    own = {
        option: knob.meaning.rpartition("; for ")[0]
        for option, knob in knobs().items()
        if method in knob.methods
    }
    return own | (
        {"keep": "M, particles per image that carry the gradient"}
        if accepts(method, "keep")
        else {}
    )


def _group(title: str, names: Iterable[str]) -> str:
    return "\n".join([f"{title}:", *map(_flag, names)])


def _flag(name: str) -> str:
    """A flag with its default, and below it what it means."""
    flag = flags.FLAGS[name]
    if flag.boolean:
        head = f"  --[no]{name}" + (" (on)" if flag.default else "")
    else:
        head = f"  --{name}" + ("" if flag.default is None else f"={flag.default}")
    return f"{head}\n{_wrapped(flag.help, '      ')}"


def _given(values: Mapping[str, Any]) -> str:
    return ", ".join(f"--{flag}={value}" for flag, value in values.items())


def _wrapped(text: str, indent: str, further: str | None = None) -> str:
    further = indent if further is None else further
    return textwrap.fill(text, _WIDTH, initial_indent=indent, subsequent_indent=further)
