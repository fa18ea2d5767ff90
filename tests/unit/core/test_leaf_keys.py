"""Keys of things without a UUID: functions of what they are part of, and different where that differs."""

from hypothesis import given
from hypothesis import strategies as st

from headgate.core.ids import identity_of_test, leaf_key

_PARTS = st.lists(st.text(max_size=12) | st.integers(0, 9), max_size=4)


def test_a_key_is_fixed_for_ever():
    """The same in every version: records of old stores keep their ids."""
    assert leaf_key("step", "49b34cdd-748a-48ae-b989-c879daa046bc", 0, "#103") == "098082bd-cf6a-5ce2-a551-b7f1dd9b4056"


@given(one=_PARTS, other=_PARTS)
def test_other_parts_are_another_key(one, other):
    """No joining of parts reads as another list of parts."""
    same = list(map(str, one)) == list(map(str, other))
    assert (leaf_key("step", *one) == leaf_key("step", *other)) == same


def test_the_kind_is_part_of_the_key():
    """A step and a test of equal parts are two things."""
    assert leaf_key("step", "a") != leaf_key("test", "a")


_TEXT = st.text(max_size=8)
_TEST = st.fixed_dictionaries(dict.fromkeys(("suite", "class_name", "file", "name", "parameters"), _TEXT))


@given(one=_TEST, other=_TEST)
def test_a_test_is_what_names_it(one, other):
    """Equal exactly where suite, class, file, name and parameters are."""
    assert (identity_of_test(**one) == identity_of_test(**other)) == (one == other)
