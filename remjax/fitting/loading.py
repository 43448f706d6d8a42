"""A fit brought back from disk."""

import os
from pathlib import Path

from remjax.errors import InputError
from remjax.fitting.fitted import Fitted
from remjax.fitting.networks import default_networks_from_json
from remjax.fitting.saved import read_description, read_params
from remjax.types import Model, Recognition


def load(
    path: str | os.PathLike[str],
    model: Model | None = None,
    recognition: Recognition | None = None,
) -> Fitted:
    """A fit that `save` kept, for use, and as the `start` of another fit.

    Args:
        path: its folder.
        model: p_theta(x, z), for a fit of a user's own networks: the same as it was fitted with.
        recognition: r_eta(z | x), likewise.

    Raises:
        InputError: there is no fit, it is damaged, or it is of other networks.
    """
    path = Path(path)
    description = read_description(path)
    networks = None
    if (model is None) != (recognition is None):
        raise InputError("model and recognition go together: give both, or neither")
    if model is None or recognition is None:
        if description["networks"] is None:
            raise InputError(
                f"{path} is a fit of networks of your own: give load the model and recognition that"
                " it was fitted with"
            )
        networks = default_networks_from_json(description["networks"])
        model, recognition = networks.build()
    return Fitted(
        model=model,
        recognition=recognition,
        params=read_params(path, model, recognition),
        networks=networks,
        row_shape=tuple(description["row_shape"]),
        history=tuple(description["history"]),
    )
