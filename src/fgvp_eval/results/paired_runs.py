"""Two runs of the same sentences held against each other."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from scipy.stats import binomtest

from fgvp_eval.data.records import Prediction
from fgvp_eval.errors import UsageError
from fgvp_eval.results.bootstrap import clustered_interval
from fgvp_eval.results.stored_runs import StoredRun
from fgvp_eval.scoring.spatial_relations import speaks_of_location
from fgvp_kernels import Mode

SUBSETS: dict[str, Callable[[str], bool]] = {
    "location": lambda text: speaks_of_location(re.findall(r"[a-z]+", text.lower())),
}


@dataclass(frozen=True)
class Flip:
    """A sentence that one run got right and the other did not."""

    sample_id: str
    text: str
    image: str
    pred_a: int
    pred_b: int


@dataclass(frozen=True)
class Comparison:
    """How two rows differ on the same sentences.

    Attributes:
        split: Name of the split.
        label_a, label_b: The modes of the rows.
        n: Sentences.
        accuracy_a, accuracy_b: Shares in 0 to 1.
        difference: Accuracy of B minus that of A.
        interval_95: Of the difference, images drawn anew.
        p_value: McNemar's exact test, two-sided: how likely so uneven flips are by chance.
        only_a, only_b: Sentences that only one of them got right.
    """

    split: str
    label_a: str
    label_b: str
    n: int
    accuracy_a: float
    accuracy_b: float
    difference: float
    interval_95: tuple[float, float]
    p_value: float
    only_a: tuple[Flip, ...]
    only_b: tuple[Flip, ...]


def compare_runs(
    a: StoredRun,
    b: StoredRun,
    *,
    label_a: str | None = None,
    label_b: str | None = None,
    subset: str | None = None,
    seed: int = 0,
) -> list[Comparison]:
    """Compare the rows of two runs.

    Args:
        a: The first run.
        b: The second.
        label_a, label_b: Which row of each; None pairs the rows of equal modes or, if each run has
            one row, those.
        subset: Name in :data:`SUBSETS` of the sentences to compare on; None for all.
        seed: Seed of the bootstrap.

    Raises:
        UsageError: The runs are not of the same sentences, or no rows fit together.
    """
    found = []
    splits = list(dict.fromkeys(split for split, _ in (*a.rows, *b.rows)))
    for split in splits:
        for first, second in _pairs(a, b, split, label_a, label_b):
            chosen = _same_sentences(a, b, (split, first), (split, second))
            if subset is not None:
                chosen = [pair for pair in chosen if SUBSETS[subset](pair[0].text)]
            if chosen:
                found.append(_compare(split, first, second, chosen, seed))
    if not found:
        what = "sentences" if subset is None else f"sentences of subset {subset}"
        raise UsageError(f"{a.path} and {b.path} hold no {what} to compare on")
    return found


def _pairs(
    a: StoredRun, b: StoredRun, split: str, label_a: str | None, label_b: str | None
) -> list[tuple[str, str]]:
    rows_a, rows_b = ([label for of, label in run.rows if of == split] for run in (a, b))
    for run, rows in ((a, rows_a), (b, rows_b)):
        if not rows:
            raise UsageError(f"{run.path} has no sentences of {split}: the runs differ in splits")
    label_a = _row(a, rows_a, split, label_a, "--modes-a")
    label_b = _row(b, rows_b, split, label_b, "--modes-b")
    if label_a is not None or label_b is not None:
        firsts, seconds = ([label_a] if label_a else rows_a), ([label_b] if label_b else rows_b)
        return [(first, second) for first in firsts for second in seconds]
    if len(rows_a) == len(rows_b) == 1:
        return [(rows_a[0], rows_b[0])]
    shared = [(label, label) for label in rows_a if label in rows_b]
    if not shared:
        raise UsageError(
            f"the runs share no modes on {split}: {', '.join(rows_a)} against "
            f"{', '.join(rows_b)}; choose with --modes-a and --modes-b"
        )
    return shared


def _row(
    run: StoredRun, rows: Sequence[str], split: str, label: str | None, option: str
) -> str | None:
    """Return the row that ``label`` means: as written, or by its modes however they are named."""
    if label is None or label in rows:
        return label
    with suppress(ValueError):  # no modes
        modes = {Mode.parse(word.strip()).value for word in re.split(r"[+,]", label)}
        for row in rows:
            if set(row.split("+")) == modes:
                return row
    raise UsageError(f"{option} {label}: {run.path} has {', '.join(rows)} on {split}")


def _same_sentences(
    a: StoredRun, b: StoredRun, row_a: tuple[str, str], row_b: tuple[str, str]
) -> list[tuple[Prediction, Prediction]]:
    of_b = {prediction.sample_id: prediction for prediction in b.rows[row_b]}
    of_a = {prediction.sample_id for prediction in a.rows[row_a]}
    different = of_a.symmetric_difference(of_b)
    if different:
        example = min(different)
        raise UsageError(
            f"{a.path} and {b.path} are of different samples of {row_a[0]}: {len(different)} are "
            f"in one of them only, for example {example}"
        )
    pairs = [(prediction, of_b[prediction.sample_id]) for prediction in a.rows[row_a]]
    for first, second in pairs:
        if first.text != second.text or first.image != second.image:
            raise UsageError(
                f"{a.path} and {b.path} are of different samples: {first.sample_id} is "
                f"{first.text!r} in one and {second.text!r} in the other"
            )
    return pairs


def _compare(
    split: str,
    label_a: str,
    label_b: str,
    pairs: Sequence[tuple[Prediction, Prediction]],
    seed: int,
) -> Comparison:
    differences = [float(second.correct) - float(first.correct) for first, second in pairs]
    only_a, only_b = (
        tuple(
            Flip(first.sample_id, first.text, first.image, first.pred, second.pred)
            for (first, second), difference in zip(pairs, differences, strict=True)
            if difference == sign
        )
        for sign in (-1.0, 1.0)
    )
    flips = len(only_a) + len(only_b)
    count = len(pairs)
    return Comparison(
        split=split,
        label_a=label_a,
        label_b=label_b,
        n=count,
        accuracy_a=sum(first.correct for first, _ in pairs) / count,
        accuracy_b=sum(second.correct for _, second in pairs) / count,
        difference=sum(differences) / count,
        interval_95=clustered_interval(differences, [first.image for first, _ in pairs], seed=seed),
        p_value=float(binomtest(len(only_b), flips).pvalue) if flips else 1.0,
        only_a=only_a,
        only_b=only_b,
    )
