"""Whether the claims of a paper hold in our runs, by the difference in test log-likelihood."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import scipy.stats

from experiments.papers.protocol import Claim, Outcome, Place, Result, Table
from experiments.papers.seeds import of_each_seed, over_seeds

_EQUAL = "no difference seen"
_NOTES = (
    "gain: test log-likelihood of the run that the claim calls better, minus that of the other, "
    "in nats per image",
    "± seeds: standard error of the gain over paired seeds",
    "unclear: Student's t-test over the seeds (5 %, two-sided) finds no difference, or there is "
    "one seed only",
)
_EQUALITY_NOTE = f"{_EQUAL}: the claim is equality, and the same test finds no difference"
_KEEP_NOTE = "where `keep` is set (table.md), only so many of the particles carry the gradient"


def claims_table(
    claims: Iterable[Claim], outcomes: Sequence[Outcome], notes: Sequence[str]
) -> Table | None:
    """The claims for which both runs are there; None if there are no such claims.

    Args:
        claims: of the paper.
        outcomes: of the sweep.
        notes: what else to know of the claims.
    """
    found = {outcome.cell.place: outcome.result for outcome in outcomes}
    made = [claim for claim in claims if claim.better in found and claim.worse in found]
    if not made:
        return None
    verdicts = [verdict(claim, found) for claim in made]
    explained = [*_NOTES]
    if any(row["verdict"] == _EQUAL for row, _ in verdicts):
        explained.append(_EQUALITY_NOTE)
    if any(outcome.cell.settings.keep for outcome in outcomes):
        explained.append(_KEEP_NOTE)
    return Table(
        name="orderings",
        title="Where the paper's orderings hold",
        rows=[row for row, _ in verdicts],
        remarks=[
            [*claim.remarks, f"{seeds} seed" + "s" * (seeds > 1)]
            for claim, (_, seeds) in zip(made, verdicts, strict=True)
        ],
        notes=[*explained, *notes],
    )


def verdict(claim: Claim, results: Mapping[Place, Result]) -> tuple[dict[str, Any], int]:
    """The row of a claim, and the number of seeds that decide it.

    Seeds are paired: equal seeds share the order of the data, and where the networks are equal the
    first parameters; all runs of a data set share the test images and their bits. The verdict is
    `unclear`, or where equality is claimed `no difference seen`, if Student's t-test of the paired
    seeds, two-sided at 5 percent, finds no difference. One seed decides nothing. Of many claims
    that are false, one in twenty passes.
    """
    pair = results[claim.better], results[claim.worse]
    better, worse = (of_each_seed(result, "test_log_likelihood") for result in pair)
    count = min(len(better), len(worse))
    mean, error = over_seeds([better[n] - worse[n] for n in range(count)])
    words = "unclear"
    if error is not None and abs(mean) > scipy.stats.t.ppf(0.975, count - 1) * error:
        words = "holds" if mean > 0 and not claim.equal else "fails"
    elif error is not None and claim.equal:
        words = _EQUAL
    row = {
        "claim": claim.text,
        "where": claim.where,
        "gain": mean,
        "± seeds": error,
        "verdict": words,
    }
    return row, count
