"""The networks that a fit takes where the user gives none."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from remjax.data.values import ValueFacts
from remjax.errors import InputError
from remjax.models.choice import choose_likelihood
from remjax.models.gaussian import gaussian_model, gaussian_recognition
from remjax.models.likelihoods import marginalized
from remjax.types import Model, Recognition


class DefaultNetworks(NamedTuple):
    """A Gaussian latent and two tanh layers, made for data: a value from which they are made again.

    Attributes:
        facts: of the data.
        latent_size: D.
        hidden_sizes: widths of the tanh layers.
    """

    facts: ValueFacts
    latent_size: int
    hidden_sizes: tuple[int, ...]

    def build(self) -> tuple[Model, Recognition]:
        """Decoder and encoder, the same ones every time."""
        facts = self.facts
        chosen = choose_likelihood(facts, grey=True)
        likelihood = chosen.make(facts.mean, facts.scale)
        if facts.missing:
            likelihood = marginalized(likelihood)
        sizes = {"latent_size": self.latent_size, "hidden_sizes": self.hidden_sizes}
        unit = facts.low >= 0.0 and facts.high <= 1.0
        scale = None if unit else facts.scale
        model = gaussian_model(likelihood, **sizes)
        return model, gaussian_recognition(facts.mean, data_scale=scale, **sizes)

    def __str__(self) -> str:
        """What was chosen, and why."""
        holes = ", missing values left out" if self.facts.missing else ""
        layers = " and ".join(map(str, self.hidden_sizes))
        return (
            f"{choose_likelihood(self.facts, grey=True)}{holes}; {self.latent_size} Gaussian "
            f"latents, tanh layers of {layers}"
        )

    def to_json(self) -> dict[str, Any]:
        """In the types of JSON; float32 passes through its decimals unchanged."""
        arrays = {"mean": self.facts.mean.tolist(), "scale": self.facts.scale.tolist()}
        return self._asdict() | {"facts": self.facts._asdict() | arrays}


def default_networks(
    facts: ValueFacts, *, hidden_sizes: Sequence[int] = (100, 100)
) -> DefaultNetworks:
    """Networks for data: up to ten latents, fewer than half as many as there are columns."""
    size = len(facts.mean)
    return DefaultNetworks(facts, max(1, min(10, size // 2)), tuple(hidden_sizes))


def default_networks_from_json(values: Mapping[str, Any]) -> DefaultNetworks:
    """Those that `DefaultNetworks.to_json` wrote.

    Raises:
        InputError: for another content.
    """
    try:
        facts = ValueFacts(**values["facts"])
        arrays = (np.asarray(part, np.float32) for part in (facts.mean, facts.scale))
        mean, scale = arrays
        sizes = tuple(map(int, values["hidden_sizes"]))
        return DefaultNetworks(
            facts._replace(mean=mean, scale=scale), int(values["latent_size"]), sizes
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the networks of the fit are not described as they were: {error}"
        ) from error
