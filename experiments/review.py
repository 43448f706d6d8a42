"""The protocol of the review (Islam, Gao & Johne): Figures 2 to 11, and Figure 11 made fair.

    python -m experiments.review --run_dir=DIR --scale=cpu --data_dir=DATA

Every cell is a run of its own in DIR/cells, so a sweep that was stopped or killed goes on where it
was. The paper prints curves and no numbers. Writes DIR/table.md, orderings.md, both as pictures
too, and figure_2.png to figure_11_fair_bits.png.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from absl import flags

from experiments import command_line, sweeps
from experiments.methods import look_up
from experiments.review_report import FIGURES, Point, write_report
from experiments.review_scales import FAIR_PASSES, FAMILIES, HALF_FOR_S, SCALES, Scale
from experiments.sweeps import Cell, Result

FLAGS = flags.FLAGS

PRESETS = ("review",)


def define_flags() -> None:
    """Where the sweep is, and how much of it."""
    sweeps.define_flags(SCALES, "review", PRESETS)
    flags.adopt_module_key_flags(sweeps)
    flags.DEFINE_list("figures", None, f"figures of the paper; default all: {', '.join(FIGURES)}")


def points(scale: Scale) -> Iterator[Point]:
    """What each figure shows, figure by figure; several may show the same run."""

    def point(
        figure: str, line: str, value: object, family: str, method: str, **changes: Any
    ) -> Point:
        dataset = scale.binary_dataset if family == "rws" else scale.dataset
        layers = FAMILIES[family], scale.settings, scale.families.get(family, {}), changes
        settings = sweeps.common_settings(method, PRESETS, {"dataset": dataset}, *layers)
        return Point(figure, line, str(value), family, settings)

    for size in scale.hidden[0]:
        yield point("2", "AEVB", size, "aevb", "vae", hidden_size=size)
    for size in scale.latents[0]:
        yield point("3", "AEVB", size, "aevb", "vae", latent_size=size)
    for count in scale.samples.aevb:
        yield point("4", "AEVB", count, "aevb", "vae", num_particles=count)
    for name, rate in scale.optimizers.items():
        chosen = {"optimizer": name, "learning_rate": rate}
        yield point("5", "NVIL", name, "nvil", "nvil", **chosen)
    for size in scale.latents[1]:
        yield point("6", "NVIL", size, "nvil", "nvil", latent_size=size)
    for size in scale.hidden[1]:
        yield point("7", "NVIL", size, "nvil", "nvil", hidden_size=size)
    for layers, sizes in scale.layers.items():
        for method, counts in (("vae", scale.samples.vae), ("iwae", scale.samples.iwae)):
            line = f"{method.upper()}, {layers} layer" + "s" * (layers > 1)
            for count in counts:
                # Of one particle both are the same algorithm.
                same = "vae" if count == 1 else method
                yield point("8", line, count, "iwae", same, num_particles=count, **sizes)
    yield point("9", "RWS", 5, "rws", "rws")
    for count in scale.samples.rws:
        yield point("10", "RWS", count, "rws", "rws", num_particles=count)
    small = scale.dataset in sweeps.SMALL_DATASETS
    wide = [{}, {}] if small else [{"latent_size": "100"}, {"latent_size": "500"}]
    yield point("11", "AEVB", "as published", "aevb", "vae", **wide[0])
    chosen = {"optimizer": "sgd", "learning_rate": scale.optimizers["sgd"]}
    yield point("11", "NVIL", "as published", "nvil", "nvil", **chosen, **wide[1])
    most = max(scale.samples.rws)
    yield point("11", "RWS", "as published", "rws", "rws", num_particles=most)
    for kind, methods in scale.fair.items():
        for method in methods:
            # Those that draw a second set of particles, from s, draw half as many of each.
            drawn = FAIR_PASSES // 2 if method in HALF_FOR_S else FAIR_PASSES
            family = f"fair_{kind}"
            yield point(f"11_{family}", method, "fair", family, method, num_particles=drawn)


def main() -> None:
    """Run the sweep and write its report."""
    root = sweeps.sweep_folder("review")
    scale = look_up(SCALES, "scale", FLAGS.scale)
    for figure in FLAGS.figures or ():
        look_up(FIGURES, "figures", figure)
    shown = [
        point for point in points(scale) if FLAGS.figures is None or point.figure in FLAGS.figures
    ]
    cells = sweeps.unique(Cell(point.name, point.settings) for point in shown)

    def report(root: Path, results: list[Result]) -> str:
        found = {cell.settings: result for cell, result in zip(cells, results, strict=True)}
        return write_report(root, shown, found)

    sweeps.run_sweep("review", root, cells, report)


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
