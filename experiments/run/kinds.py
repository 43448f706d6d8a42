"""The table from --model to a kind of model, and which settings and methods go with it."""

from collections.abc import Mapping
from typing import Any

from experiments.run import denoising_models, discrete_models, latent_variables, machines
from experiments.run.choices import POSTERIORS, look_up
from experiments.run.kind import Kind
from experiments.run.method_options import applies
from experiments.run.settings import DEFAULTS, Settings
from remjax.errors import InputError

MODELS: Mapping[str, Kind] = {
    **latent_variables.KINDS,
    **discrete_models.KINDS,
    **machines.KINDS,
    **denoising_models.KINDS,
}


def kind_of(model: str) -> Kind:
    """The kind of a --model.

    Raises:
        InputError: for an unknown name.
    """
    return look_up(MODELS, "model", model)


def has(model: str, setting: str) -> bool:
    """Whether a setting means something for a model; one that no kind names does for all."""
    named = any(setting in kind.settings for kind in MODELS.values())
    return setting in kind_of(model).settings or not named


def chosen(
    values: Mapping[str, Any], model: str, method: str, posterior: str | None = None
) -> dict[str, Any]:
    """The settings among these, as a preset names them, that model, method and posterior have.

    Args:
        values: settings by name.
        model: of the run.
        method: of the run.
        posterior: of the run; None for that of the values.
    """
    posterior = posterior or values.get("posterior", DEFAULTS["posterior"])
    own = look_up(POSTERIORS, "posterior", posterior).settings
    others = frozenset().union(*(other.settings for other in POSTERIORS.values())) - own
    return {
        name: value
        for name, value in values.items()
        if has(model, name) and applies(name, method) and name not in others
    }


def fitting_kind(settings: Settings) -> Kind:
    """The kind that the settings name, once they are seen to go with it.

    Raises:
        InputError: for an unknown model, a method of others, or a setting that does nothing.
    """
    kind = kind_of(settings.model)
    if settings.method not in kind.family.methods:
        raise InputError(
            f"--method={settings.method} does not serve --model={settings.model}: use one of "
            f"{', '.join(kind.family.methods)}"
        )
    for name, default in DEFAULTS.items():
        if getattr(settings, name) != default and not has(settings.model, name):
            raise InputError(f"--{name} does nothing for --model={settings.model}: leave it out")
    return kind
