"""With the knob failing tests say different things, the same test the same but for what differs from run to run."""

from headgate.insights.fingerprints import normalize
from headgate.testing.circleci import Knobs, Options
from headgate.testing.circleci.results import results
from headgate.testing.circleci.world import World


def test_failing_tests_say_different_things():
    """Each test one thing, whatever its numbers."""
    world = World(Options(now_ms=1_795_000_000_000, days=10, projects=1, knobs=Knobs(test_messages=True)))
    said = {}
    for build in world.histories[0].builds:
        for one in results(world, build):
            if one.message:
                said.setdefault((build.spec.name, one.index), set()).add(one.message)
    texts = {place: {normalize(message) for message in messages} for place, messages in said.items()}
    assert {1} == {len(found) for found in texts.values()}
    assert 5 <= len(set.union(*texts.values()))
    assert any(len(messages) > 1 for messages in said.values())
