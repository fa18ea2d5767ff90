"""Packed bodies: what comes out is what went in, whichever library packed it, and damage is said."""

from __future__ import annotations

import zlib

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.store import packing
from headgate.store.packing import pack, unpack

RECORD = (
    b'{"id":"0e1f9b0e-6f0a-5c39-9a2f-3f4a7a1f7d51","schema":1,"kind":"job","occurred_at":"2026-11-20T10:00:00.000Z",'
    b'"observed_at":"2026-11-20T10:00:01.000Z","sources":["webhook"],"tenant":"circleci.com","org":"gh/acme",'
    b'"project":"gh/acme/web","attributes":{"cicd.pipeline.name":"build","circleci.status":"success"}}'
)


@given(st.binary())
def test_every_body_comes_back(body: bytes) -> None:
    """Any bytes are given back as they were, and never stored longer than they are."""
    stored, number = pack(body)
    assert unpack(stored, number) == body
    assert len(stored) <= len(body)


def test_a_record_is_stored_smaller() -> None:
    """What every record repeats is not stored again, even of a short one."""
    stored, number = pack(RECORD)
    assert number == 1
    assert len(stored) < 0.7 * len(RECORD)


def test_both_libraries_write_the_same_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store moves between machines with and without ISA-L."""
    ours = pack(RECORD)
    monkeypatch.setattr(packing, "_deflate", zlib)
    assert unpack(*ours) == RECORD
    theirs = pack(RECORD)
    monkeypatch.undo()
    assert unpack(*theirs) == RECORD


@pytest.mark.parametrize("number", [1, 99])
def test_damage_is_said(number: int) -> None:
    """A body that was cut, or names a dictionary that there is not, is damage, not an empty record."""
    stored, _ = pack(RECORD)
    with pytest.raises(apsw.CorruptError, match="stored body"):
        unpack(stored[: len(stored) // 2], number)


def test_what_is_no_packed_body_is_damage() -> None:
    """Bytes that deflate cannot read are damage too."""
    with pytest.raises(apsw.CorruptError, match="damaged"):
        unpack(b"\xff" * 40, 1)


def test_an_older_store_reads_as_it_was_written() -> None:
    """Number 0 is a body as it is."""
    assert unpack(b'{"id":"1"}', 0) == b'{"id":"1"}'
