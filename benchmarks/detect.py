"""Where series changed: how much is found, how much is false, how late, how fast; otava and ruptures beside.

Labelled economics and sensor series (TCPD), changes put into real CI histories, made-up histories. Several seeds; rows
give the mean and their names the spread. `--data DIR` takes other histories: a folder with `gha-durations/*.csv`, and
`tcpd/` where there is one. The peers are no dependency of anything; one that is not installed is named and left out.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import mean, median

from benchmarks.ci_series import FAMILIES, Case, histories, made_up, resampled
from benchmarks.report import Row, row, table
from headgate.app.compose import context_of
from headgate.core.clock import ManualClock
from headgate.core.metrics import NullMetrics
from headgate.detectors.change_point import ChangePoint, ChangePointConfig
from headgate.detectors.following import reports

DATA = Path(__file__).parents[1] / "tests" / "data" / "regression"
SEEDS = (101, 102, 103)
NEAR = 10
Find = Callable[[Sequence[float]], Iterable[int]]
DETECTOR = ChangePoint("change_point", ChangePointConfig(), context_of(ManualClock(), NullMetrics()))


def ours(values: Sequence[float]) -> list[int]:
    """In hindsight, as `headgate detect` does."""
    return [change.index for change in DETECTOR.changes(values)]


def otava(**settings: float) -> Find:
    """apache-otava, with its defaults where nothing is set."""
    from otava.analysis import compute_change_points

    return lambda values: [found.index for found in compute_change_points(list(values), **settings)[0]]


def strict_otava() -> Find:
    """The settings that did best of ten tried on these histories."""
    return otava(window_len=100, max_pvalue=1e-6, min_magnitude=0.1)


def ruptures() -> Find:
    """ruptures: PELT with the rbf kernel on logarithms, parts of 8, penalty 2 log n."""
    import numpy as np
    from ruptures import Pelt

    def find(values: Sequence[float]) -> list[int]:
        signal = np.array([math.log(max(value, 1e-9)) for value in values])
        if len(values) < 16 or not signal.std():
            return []
        made = Pelt(model="rbf", min_size=8, jump=1).fit(signal)
        return [int(at) for at in made.predict(pen=2 * math.log(len(values)))[:-1]]

    return find


PEERS: dict[str, Callable[[], Find]] = {
    "apache-otava": otava,
    "apache-otava, strict": strict_otava,
    "ruptures rbf": ruptures,
}


# --- Scores -------------------------------------------------------------------------------------------------------


class Score:
    """Hits, false reports and misses over cases; a hit is within 10 runs."""

    def __init__(self, find: Find, cases: Iterable[Case]) -> None:
        self.hits: dict[str, int] = {}
        self.cases: dict[str, int] = {}
        self.false: dict[str, int] = {}
        self.quiet_runs = 0
        for case in cases:
            found = list(find(case.values))
            hit = case.at is not None and any(abs(at - case.at) <= NEAR for at in found)
            self.cases[case.kind] = self.cases.get(case.kind, 0) + 1
            self.hits[case.kind] = self.hits.get(case.kind, 0) + hit
            self.false[case.kind] = self.false.get(case.kind, 0) + len(found) - hit
            self.quiet_runs += len(case.values) if case.at is None else 0

    def f1(self) -> float:
        """Over all kinds, each case alike."""
        hits = sum(self.hits.values())
        missed = sum(count for kind, count in self.cases.items() if kind != "none") - hits
        return 2 * hits / (2 * hits + sum(self.false.values()) + missed)

    def recall(self, kind: str) -> float:
        """Found of one kind."""
        return self.hits[kind] / self.cases[kind]

    def false_per_1000(self) -> float:
        """Reports on series without a change, per 1,000 runs."""
        return 1000 * self.false["none"] / self.quiet_runs


def tcpd_f1(find: Find, folder: Path) -> float:
    """The data set's own measure: margin 5, precision against all annotators, recall averaged over them."""
    labels = json.loads((folder / "annotations.json").read_text())
    scores = []
    for name, annotators in labels.items():
        cells = json.loads((folder / f"{name}.json").read_text())["series"][0]["raw"]
        kept = [at for at, cell in enumerate(cells) if cell is not None]
        found = {0} | {kept[at] for at in find([cells[at] for at in kept])}
        known = [{0, *places} for places in annotators.values()]
        precision = _matched(set().union(*known), found) / len(found)
        recall = mean(_matched(places, found) / len(places) for places in known)
        scores.append(2 * precision * recall / (precision + recall))
    return mean(scores)


def _matched(known: set[int], found: set[int]) -> int:
    left, count = set(found), 0
    for place in sorted(known):
        near = [at for at in left if abs(at - place) <= 5]
        if near:
            left.remove(min(near, key=lambda at: (abs(at - place), at)))
            count += 1
    return count


# --- Rows ---------------------------------------------------------------------------------------------------------


def _spread(values: Sequence[float]) -> str:
    return f"({min(values):.2f} to {max(values):.2f} over {len(values)} seeds)"


def labelled(folder: Path, peers: dict[str, Find]) -> list[Row]:
    """TCPD."""
    value = tcpd_f1(ours, folder)
    rows = [row("TCPD F1", value, "", target=">= 0.72", met=value >= 0.72)]
    rows.append(row("TCPD F1, no change anywhere", tcpd_f1(lambda _: (), folder), ""))
    return rows + [row(f"TCPD F1, {name}", tcpd_f1(find, folder), "") for name, find in peers.items()]


def injected(folder: Path, peers: dict[str, Find], repeats: int) -> list[Row]:
    """Changes put into real histories."""
    found = histories(folder)
    scores = [Score(ours, resampled(found, seed, repeats)) for seed in SEEDS]
    f1s = [score.f1() for score in scores]
    false = [score.false_per_1000() for score in scores]
    tails = [score.recall("tail") for score in scores]
    rows = [
        row(f"injected F1 {_spread(f1s)}", mean(f1s), "", target=">= 0.79", met=mean(f1s) >= 0.79),
        row(f"false in hindsight {_spread(false)}", mean(false), "/1,000", target="<= 0.15", met=mean(false) <= 0.15),
        row(f"tail recall {_spread(tails)}", mean(tails), "", target=">= 0.55", met=mean(tails) >= 0.55),
        *(row(f"recall x{kind}", mean(s.recall(kind) for s in scores), "") for kind in ("1.15", "1.3", "1.5", "2.0")),
    ]
    for name, find in peers.items():
        peer = Score(find, resampled(found, SEEDS[0], max(1, repeats // 4)))
        rows.append(row(f"injected F1, {name}", peer.f1(), ""))
        rows.append(row(f"false in hindsight, {name}", peer.false_per_1000(), "/1,000"))
        rows.append(row(f"tail recall, {name}", peer.recall("tail"), ""))
    return rows


def families(repeats: int) -> list[Row]:
    """Made-up histories, each family for itself."""
    rows = []
    for name in FAMILIES:
        score = Score(ours, (case for seed in SEEDS for case in made_up(seed, repeats, (name,))))
        rows.append(row(f"made-up {name}: F1", score.f1(), ""))
        rows.append(row(f"made-up {name}: false in hindsight", score.false_per_1000(), "/1,000"))
    return rows


def online(folder: Path, repeats: int) -> list[Row]:
    """Asked after each run: false reports, and how many runs after the change it is told."""
    found = histories(folder)
    told, runs = 0, 0
    for case in (case for seed in SEEDS for case in resampled(found, seed, 2 * repeats, ("none",))):
        told += len(list(reports(DETECTOR, case.values)))
        runs += len(case.values)
    false = 1000 * told / runs
    late = [_late(case) for seed in SEEDS for case in resampled(found, seed, repeats, ("1.3", "1.5"))]
    seen = sorted(delay for delay in late if delay is not None)
    middle, ninth = median(seen), seen[math.ceil(0.9 * len(seen)) - 1]
    return [
        row(f"false online, {runs:,} runs", false, "/1,000", target="<= 0.5", met=false <= 0.5),
        row(f"delay at +30 and +50 %, median of {len(seen)} told", middle, "runs", target="<= 10", met=middle <= 10),
        row("delay, p90", ninth, "runs", target="<= 35", met=ninth <= 35),
        row("never told", 100 * (len(late) - len(seen)) / len(late), "%"),
    ]


def _late(case: Case) -> int | None:
    """Runs from the change, that run included, to the first report of a change near it."""
    assert case.at is not None
    for runs in range(1, len(case.values) - case.at + 1):
        change = DETECTOR.newest(case.values[: case.at + runs])
        if change is not None and change.index >= case.at - 25:
            return runs
    return None


def speed(folder: Path, *, long: bool) -> list[Row]:
    """Processor time; a series of 200 runs with a change costs more than one without."""
    cases = [case.values[:200] for case in resampled(histories(folder), 1, 5)]
    taken = []
    for values in cases:
        begin = time.process_time()
        DETECTOR.newest(values)
        taken.append(time.process_time() - begin)
    many = 10_000 if long else 2_000
    begin = time.process_time()
    for at in range(many):
        DETECTOR.newest(cases[at % len(cases)])
    all_of_them = (time.process_time() - begin) * 10_000 / many
    slow = 1000 * sorted(taken)[math.ceil(0.95 * len(taken)) - 1]
    return [
        row("one series of 200, median", 1000 * median(taken), "ms", target="<= 5", met=1000 * median(taken) <= 5),
        row("one series of 200, p95", slow, "ms", target="<= 5", met=slow <= 5),
        row("10,000 series of 200", all_of_them, "s", target="<= 60", met=all_of_them <= 60),
    ]


def run(*, long: bool, data: Path = DATA) -> list[Row]:
    """All of it; about five minutes of processor time, with `long` half an hour."""
    peers: dict[str, Find] = {}
    for name, make in PEERS.items():
        try:
            peers[name] = make()
        except ImportError:
            print(f"{name}: not installed")
    repeats = 20 if long else 4
    rows = labelled(data / "tcpd", peers) if (data / "tcpd").is_dir() else []
    rows += injected(data / "gha-durations", peers, 4 * repeats)
    rows += speed(data / "gha-durations", long=long)
    rows += online(data / "gha-durations", repeats)
    return rows + families(repeats)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, metavar="DIR", help="other histories")
    parser.add_argument("--long", action="store_true", help="more cases")
    given = parser.parse_args()
    print(table(run(long=given.long, data=given.data)))
