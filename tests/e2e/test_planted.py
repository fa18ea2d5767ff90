"""The shipped rules find planted regressions, once each and in the right place, and leave healthy projects alone."""

from __future__ import annotations

import sys

import pytest
from tests.e2e.planted import FINDERS, judge, names_right, planted_world

# What a change of durations costs to look for is left to the long run.
_COSTLY = ("JobDurationChanged", "QueueTimeHigh")


@pytest.mark.timeout(240)
async def test_plants_are_found_and_health_is_left_alone():
    """One seed, four kinds: each told once, named right, nothing else told."""
    world = planted_world(2, days=70, projects=8)
    verdict = await judge(world, since_days=34, every_ms=3_600_000, but=_COSTLY)
    assert (verdict.missed, verdict.doubled, verdict.false) == ([], [], [])
    for plant in world.stories.plants.all:
        if FINDERS[plant.kind] not in _COSTLY:
            assert list(names_right(world, plant, verdict.found[plant.kind])) == []


@pytest.mark.long
@pytest.mark.timeout(14_400)
async def test_plants_of_twenty_seeds(capsys):
    """Precision and recall by rule over 20 seeds, 90 days and 12 projects; the table is printed."""
    found = dict.fromkeys(FINDERS.values(), 0)
    wrong = dict.fromkeys(FINDERS.values(), 0)
    named = dict.fromkeys(FINDERS.values(), 0)
    others = 0
    for seed in range(1, 21):
        world = planted_world(seed)
        verdict = await judge(world)
        for plant in world.stories.plants.all:
            if plant.kind in verdict.found:
                found[FINDERS[plant.kind]] += 1
                named[FINDERS[plant.kind]] += not list(names_right(world, plant, verdict.found[plant.kind]))
        for row in (*verdict.false, *verdict.doubled):
            if row["rule"] in wrong:
                wrong[row["rule"]] += 1
            else:
                others += 1
        missed = ", ".join(plant.kind for plant in verdict.missed) or "none"
        told_wrong = (*verdict.false, *verdict.doubled)
        false = ", ".join(f"{row['rule']} of {row['labels'].get('project', '-')}" for row in told_wrong) or "none"
        with capsys.disabled():
            sys.stdout.write(f"seed {seed}: missed {missed}; false {false}\n")
            sys.stdout.flush()
    with capsys.disabled():
        for rule, right in found.items():
            told = right + wrong[rule]
            sys.stdout.write(
                f"{rule}: recall {right}/20, precision {right}/{told}, named right {named[rule]}/{right}\n"
            )
        sys.stdout.write(f"other rules, all false: {others}\n")
    assert min(found.values()) >= 16
    assert sum(wrong.values()) + others <= 20
