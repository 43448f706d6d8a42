"""The report of a sweep over the REM paper's protocol: ours beside the paper's figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.comparisons import kl_against_particles, method_comparison
from experiments.methods import accepts
from experiments.sweep_report import (
    DIFFERS,
    likelihood_columns,
    settings_that_differ,
    write_table,
)

# Methods of Figure 2.
KL_METHODS = ("vae", "iwae", "rem_v1")

# Negative log-likelihoods of Table 2, nats per image: (data set, method) -> (train, test).
PAPER: Mapping[tuple[str, str], tuple[float, float]] = {
    ("binarized_mnist", "rem_v1"): (87.77, 87.91),
    ("mnist", "rem_v1"): (88.68, 88.95),
    ("omniglot", "rem_v1"): (109.84, 113.94),
    ("binarized_mnist", "rem_v2"): (87.84, 87.99),
    ("mnist", "rem_v2"): (88.58, 88.92),
    ("omniglot", "rem_v2"): (110.63, 114.73),
}
# The paper's settings, by which "what differs" is told.
PAPER_SETTINGS: Mapping[str, Any] = {
    "epochs": 200,
    "num_particles": 1000,
    "batch_size": 20,
    "train_size": None,
    "keep": None,
    "eval_num_particles": 1000,
    "eval_size": 0,
    "schedule": "burda",
    "learning_rate": 1e-3,
    "latent_size": "20",
    "hidden_size": "200",
    "hidden_layers": 2,
}


def comparison_rows(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows "paper | ours | difference | what differs", negative log-likelihoods in nats."""
    rows = []
    for result in results:
        method = result["method"].removesuffix("_leaky")
        paper = PAPER.get((result["dataset"], method), (None, None))
        for part, value in zip(("train", "test"), paper, strict=True):
            named = {"data set": result["dataset"], "method": result["method"], "part": part}
            columns = likelihood_columns(result, part, value)
            rows.append(named | columns | {DIFFERS: what_differs(result)})
    return rows


def what_differs(result: Mapping[str, Any]) -> str:
    """Every setting that is not the paper's, as `name ours (paper's)`."""
    told = settings_that_differ(result, PAPER_SETTINGS)
    if result["method"] == "rem_v2" and result["hyperproposal"] != "r":
        told.append("eta learns from s, Algorithm 2 (from r, Table 2)")
    if result["method"] == "rem_v1_leaky":
        told.append("theta's loss leaks into eta, as in the code (no leak)")
    published = result["dataset"] == "binarized_mnist" and result["split"] == "published"
    if published and result["train_size"] is None:
        told.append("50,000 training images (60,000)")
    if result["mean_output"]:
        told.append("the output starts at the mean image (at no bias)")
    if result["centred_input"]:
        told.append("the input is centred (raw)")
    if accepts(result["method"], "covariance") and result["covariance"] != "weighted":
        told.append(f"covariance {result['covariance'] or 'robust default'} (weighted)")
    if result["eval_proposal"] == "recognition":
        told.append("evaluated with r (unknown; the code: two-stage)")
    if published:
        told.append("official test file (the code: validation file, trained on)")
    if "PNGs" in result["source"]:
        told.append("OMNIGLOT from resized PNGs (chardata.mat)")
    if result["dataset"] == "digits":
        told.append("digits 8x8, not in the paper")
    return "; ".join(told) or "nothing"


def write_report(root: Path, results: list[dict[str, Any]], num_particles: int) -> str:
    """Writes the table and the pictures of a finished sweep.

    Args:
        root: where to.
        results: configuration and result of every cell.
        num_particles: K of the table; cells of another K are for the KL against K only.

    Returns:
        The table without its last column, which is too wide for a terminal.
    """
    main_cells = [result for result in results if result["num_particles"] == num_particles]
    title = "Negative log-likelihood, nats per image"
    table = write_table(root, "table", comparison_rows(main_cells), title=title)
    for part in ("train", "test"):
        label = f"{part} log-likelihood (nats per image)"
        method_comparison(
            root / f"{part}_log_likelihoods.png", _by_dataset(main_cells, part), label=label
        )
    lines: dict[str, dict[int, float]] = {}
    for result in results:
        drawn = result["method"].removesuffix("_leaky") in KL_METHODS
        if drawn and result["dataset"] == results[-1]["dataset"]:
            points = lines.setdefault(result["method"], {})
            points[result["num_particles"]] = result["kl_to_prior"]
    if lines:
        kl_against_particles(root / "kl_against_particles.png", lines)
    return table


def _by_dataset(
    results: list[dict[str, Any]], part: str
) -> dict[str, dict[str, tuple[float, float]]]:
    values: dict[str, dict[str, tuple[float, float]]] = {}
    for result in results:
        values.setdefault(result["dataset"], {})[result["method"]] = (
            result[f"{part}_log_likelihood"],
            result[f"{part}_log_likelihood_stderr"],
        )
    return values
