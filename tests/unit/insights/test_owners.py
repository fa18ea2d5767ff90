"""Who owns what: the first entry that matches."""

import pytest

from headgate.insights.owners import Owners, parse_owner

OWNERS = Owners(
    [
        parse_owner({"project": "gh/acme/web", "job": "deploy"}, "release"),
        parse_owner(["project=~gh/acme/(web|api)", "workflow!=nightly"], "shop"),
        parse_owner({"org": "gh/acme"}, "acme"),
    ]
)


@pytest.mark.parametrize(
    ("of", "team"),
    [
        (("gh/acme/web", "build", "deploy"), "release"),
        (("gh/acme/web", "build", "test"), "shop"),
        (("gh/acme/web",), "shop"),
        (("gh/acme/api", "nightly"), "acme"),
        (("gh/beta/app",), ""),
    ],
)
def test_the_first_entry_that_matches_decides(of, team):
    """What nobody owns has no team."""
    assert OWNERS.team(*of) == team


def test_only_what_entries_speak_of_must_be_known():
    """So that sums by team are no finer than they need to be."""
    assert OWNERS.needs == {"project", "workflow", "job"}
    assert Owners([parse_owner({"org": "gh/acme"}, "acme")]).needs == {"project"}


@pytest.mark.parametrize(
    ("match", "text"), [({"branch": "main"}, "not on 'branch'"), (["project~x"], "is not a matcher")]
)
def test_a_wrong_entry_is_refused(match, text):
    """With what it may match on."""
    with pytest.raises(ValueError, match=text):
        parse_owner(match, "a")
