"""Which workflow repeats which."""

import pytest

from headgate.core.merge import EMPTY, Observation, ProjectRef, merge
from headgate.core.reruns import link_reruns

PROJECT = ProjectRef("host", "gh/a/b", "gh/a", "p1")


def _known(name, created, stopped=None, **fields):
    told = {"name": name, "created_at": created * 1000} | ({} if stopped is None else {"stopped_at": stopped * 1000})
    return merge(EMPTY, Observation("workflow", "w", PROJECT, "v2", 1, stopped is not None, told | fields))


@pytest.mark.parametrize(
    ("expected", "runs"),
    [
        ({}, {"a": ("build", 0, 5), "b": ("deploy", 9, 12)}),
        ({"b": ("a", 2)}, {"a": ("build", 0, 5), "b": ("build", 9, 12)}),
        ({"b": ("a", 2), "c": ("b", 3)}, {"c": ("build", 20), "a": ("build", 0, 5), "b": ("build", 9, 12)}),
        ({"b": ("a", 2), "c": ("a", 2)}, {"a": ("build", 0, 5), "b": ("build", 9), "c": ("build", 20, 21)}),
        ({}, {"a": ("build", 0), "b": ("build", 9, 12)}),
        ({"b": ("a", 2)}, {"a": ("build", 0, 9), "b": ("build", 9, 12)}),
    ],
    ids=["other-name", "rerun", "chain", "past-one-that-goes-on", "setup-that-goes-on", "same-second"],
)
def test_a_workflow_repeats_the_newest_of_its_name_that_had_ended(expected, runs):
    """Given as key: name, created and stopped seconds; expected: key: what it repeats, attempt."""
    linked = link_reruns({key: _known(*told) for key, told in runs.items()})
    assert expected == {key: (one.values["rerun_of"], one.values["attempt"]) for key, one in linked.items()}


def test_links_that_are_right_are_left_alone():
    """Linking what is linked changes nothing; a link that no longer holds is taken away."""
    runs = {"a": _known("build", 0, 5), "b": _known("build", 9)}
    runs |= link_reruns(runs)
    assert {} == link_reruns(runs)
    later = {"a": _known("build", 0, 99), "b": runs["b"]}
    assert {"b": _known("build", 9)} == link_reruns(later)


def test_no_input_tells_what_follows_from_others():
    """`rerun_of` and `attempt` of an observation are passed over."""
    assert "rerun_of" not in _known("build", 0, rerun_of="x", attempt=3).values
