"""The pages of the API: one for each room, with the public names in the order of their names."""

import importlib
import inspect
import re
import types
from pathlib import Path

_ROOMS = {
    "fitting": "A fit in one call",
    "methods": "Methods",
    "models": "Models and recognition networks",
    "training": "Training",
    "evaluation": "Evaluation",
    "sequential": "Sequences",
    "boltzmann": "Boltzmann machines",
    "data": "Data",
    "distributions": "Distributions",
    "particles": "Particles and weights",
    "types": "Models, batches and estimators",
    "sharding": "Many devices",
    "statistics": "Statistics of a batch",
    "errors": "Errors",
}


# z_k, L_-k, p_theta, sum_j or w^2 in a sentence: a letter or a sum with what is below or above.
_SYMBOL = re.compile(
    r"(?<![\w^\\])(sum|[A-Za-z])"
    r"(?:_(-?[a-zA-Z0-9]{1,2}|theta|eta|alpha|phi|psi)(?:\^(\w))?|\^(\d|T|-1))(?![\w^])"
)
_GREEK = re.compile(r"\b(theta|eta|alpha|phi|psi)\b")


def write(folder: Path) -> None:
    """Write the pages, those that have changed, and the list of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for room, title in _ROOMS.items():
        module = importlib.import_module(f"remjax.{room}")
        about = inspect.getdoc(module)
        parts = [f"# {title}: `remjax.{room}`", about or ""]
        inside = f"remjax.{room}."
        parts += [_entry(path, one) for path, one in _public(module) if path.startswith(inside)]
        _replace(folder / f"{room}.md", "\n\n".join(parts) + "\n")
    rooms = "\n".join(_ROOMS)
    _replace(
        folder / "index.md",
        "# API\n\nOne page for each room. At the top of `remjax` stand the names that a first "
        f"notebook needs.\n\n```{{toctree}}\n{rooms}\n```\n",
    )


def give_titles(folder: Path) -> None:
    """A title for each table that the benchmarks wrote without one: its folder and its own name."""
    for path in sorted(folder.glob("*/*.md")):
        text = path.read_text(encoding="utf-8")
        if not text.startswith("# "):
            title = f"# {path.parent.name}: {path.stem}".replace("_", " ")
            path.write_text(f"{title}\n\n{text}", encoding="utf-8")


def _replace(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _public(module: types.ModuleType) -> list[tuple[str, object]]:
    """(path of the definition, value) of the names that a room gives."""
    listed = getattr(module, "__all__", None)
    own = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not isinstance(value, types.ModuleType)
        and _home(module, name, value) is not None
    ]
    found = []
    for name in listed or own:
        value = getattr(module, name)
        if isinstance(value, types.ModuleType):
            found += _public(value)
        else:
            found.append((f"{_home(module, name, value) or module.__name__}.{name}", value))
    return sorted(dict(found).items(), key=lambda one: one[0].rpartition(".")[2].lower())


def _home(module: types.ModuleType, name: str, value: object) -> str | None:
    """The module below this one, or this one, whose source defines the name."""
    if inspect.isclass(value) or inspect.isfunction(value):
        home = value.__module__
        return home if home.startswith("remjax") else None
    package = module.__name__
    source = inspect.getsource(module)
    imported = re.search(rf"from (\S+) import (?:[^()\n]*\b|\([^)]*\b){name}\b", source)
    if imported and imported.group(1).startswith("remjax"):
        return imported.group(1)
    return package if re.search(rf"^{name}\b[^=\n]*=", source, re.MULTILINE) else None


def _entry(path: str, value: object) -> str:
    kind = "autodata"
    options = ["   :no-value:"]
    if inspect.isclass(value):
        kind, options = "autoclass", ["   :members:"]
    elif inspect.isfunction(value):
        kind, options = "autofunction", []
    return "\n".join(["```{eval-rst}", f".. {kind}:: {path}", *options, "```"])


def as_text(app, what, name, obj, options, lines) -> None:
    """Docstrings are plain text: a star or a bar in a formula is no markup."""
    text = "\n".join(lines)
    parts = re.split(r"(``.*?``|`[^`]*`)", text, flags=re.DOTALL)
    for place in range(0, len(parts), 2):
        parts[place] = re.sub(r"([*|\\])", r"\\\1", parts[place])
        parts[place] = re.sub(r"_(?=[\s.,;:)]|$)", r"\\_", parts[place])
        # "latent_size: D." is no list that begins with D.
        parts[place] = re.sub(r"(?<=: )([A-Z])\.(?=\s|$)", r"\\\1.", parts[place])
        parts[place] = _SYMBOL.sub(_formula, parts[place])
    lines[:] = "".join(parts).split("\n")


def _formula(found: re.Match[str]) -> str:
    """The symbol as a formula, which may touch what stands beside it."""
    letter, below, above, power = found.groups()
    letter = r"\sum" if letter == "sum" else letter
    below = _GREEK.sub(r"\\\1", f"_{{{below}}}") if below else ""
    above = above or power
    return rf"\ :math:`{letter}{below}{f'^{{{above}}}' if above else ''}`\ "


def skip_fields(app, what, name, obj, skip, options) -> bool | None:
    """The fields of a named tuple are described with it, and need no entry of their own."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def short_types(app, what, name, obj, options, signature, result) -> tuple[str | None, ...]:
    """`Float[Array, "B X"]`, as the source has it."""
    both = (signature, result)
    return tuple(text and text.replace("jaxlib._jax.Array", "Array") for text in both)
