"""Label matchers read as in Prometheus."""

import pytest

from headgate.insights.match import Matcher, by_class, matches, parse_matcher


@pytest.mark.parametrize(
    ("text", "labels", "taken"),
    [
        ("a=b", {"a": "b"}, True),
        ("a!=b", {"a": "b"}, False),
        ("a!=b", {}, True),
        ("a=~b|c", {"a": "c"}, True),
        ("a=~b", {"a": "bb"}, False),
        ('a!~"b.*"', {"a": "bc"}, False),
        ("a=", {}, True),
    ],
)
def test_matchers(text, labels, taken):
    """Matchers read as in Prometheus: anchored patterns, missing labels are empty."""
    assert matches([parse_matcher(text)], labels) is taken


def test_a_pattern_takes_time_in_proportion_to_the_text():
    """One that Python's own would try for longer than the universe is old says no at once."""
    assert not parse_matcher("a=~(a+)+b").accepts("a" * 100_000)


@pytest.mark.parametrize(
    ("pattern", "why"), [(r"(a)\1", "invalid escape"), ("(?=a)", "invalid perl"), ("a{9}{999}", "bad")]
)
def test_a_pattern_beyond_re2_is_refused(pattern, why):
    """Back references, looking around and repeats without measure are told, with the reason."""
    with pytest.raises(ValueError, match=f"not a pattern of RE2: {why}"):
        parse_matcher(f"a=~{pattern}")


@pytest.mark.parametrize("text", ["", "a", "a==~(", "=b", "A=b", "a=~("])
def test_nonsense_is_no_matcher(text):
    """What cannot be read is refused with a reason."""
    if text == "a==~(":
        assert parse_matcher(text).value == "=~("
        return
    with pytest.raises(ValueError, match="is not a"):
        parse_matcher(text)


def test_a_default_branch_is_one_by_its_class():
    """`branch: @default` asks for the class of a branch; other names stay names."""
    assert by_class(Matcher("branch", "!=", "@default")) == Matcher("branch_class", "!=", "@default")
    assert by_class(Matcher("branch", "=", "main")) == Matcher("branch", "=", "main")
