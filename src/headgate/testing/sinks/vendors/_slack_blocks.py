"""Slack's limits for texts, blocks and attachments.

Source: docs.slack.dev, "Block Kit reference" and "chat.postMessage" (from general knowledge, not re-read).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

MAX_TEXT = 40_000
MAX_BLOCKS = 50
MAX_ATTACHMENTS = 100
MAX_BLOCK_ID = 255
Check = Callable[[Mapping[str, Any]], Iterator[str]]


def problems(blocks: Any) -> list[str]:
    """Return what is wrong with a message's blocks, empty when they are good."""
    if not isinstance(blocks, list):
        return ["blocks must be an array"]
    found = [f"no more than {MAX_BLOCKS} items allowed [json-pointer:/blocks]"] * (len(blocks) > MAX_BLOCKS)
    ids: set[str] = set()
    for index, block in enumerate(blocks):
        where = f"[json-pointer:/blocks/{index}]"
        if not isinstance(block, dict):
            found.append(f"must be an object {where}")
            continue
        found += [f"{problem} {where}" for problem in _block(block)]
        block_id = block.get("block_id")
        if isinstance(block_id, str):
            if block_id in ids:
                found.append(f"block_id {block_id!r} already exists {where}")
            ids.add(block_id)
    return found


def _block(block: Mapping[str, Any]) -> Iterator[str]:
    kind = block.get("type")
    check = BLOCKS.get(kind) if isinstance(kind, str) else None
    if check is None:
        yield f"unsupported type: {kind}"
        return
    block_id = block.get("block_id", "")
    if not isinstance(block_id, str) or len(block_id) > MAX_BLOCK_ID:
        yield f"block_id must be text of at most {MAX_BLOCK_ID} characters"
    yield from check(block)


def _text(value: Any, limit: int, kinds: tuple[str, ...] = ("mrkdwn", "plain_text")) -> Iterator[str]:
    if not isinstance(value, dict) or value.get("type") not in kinds:
        yield f"must be a text object of type {' or '.join(kinds)}"
        return
    text = value.get("text")
    if not isinstance(text, str) or not text:
        yield "text must be at least 1 character"
    elif len(text) > limit:
        yield f"must be less than {limit + 1} characters"


def _section(block: Mapping[str, Any]) -> Iterator[str]:
    if "text" not in block and "fields" not in block:
        yield "missing required field: text or fields"
    if "text" in block:
        yield from _text(block["text"], 3_000)
    fields = block.get("fields", [])
    if not isinstance(fields, list) or len(fields) > 10:
        yield "no more than 10 items allowed in fields"
        return
    for field in fields:
        yield from _text(field, 2_000)
    if "accessory" in block:
        yield from _element(block["accessory"])


def _header(block: Mapping[str, Any]) -> Iterator[str]:
    yield from _text(block.get("text"), 150, ("plain_text",))


def _context(block: Mapping[str, Any]) -> Iterator[str]:
    elements = block.get("elements")
    if not isinstance(elements, list) or not 1 <= len(elements) <= 10:
        yield "1 to 10 items allowed in elements"
        return
    for element in elements:
        if isinstance(element, dict) and element.get("type") == "image":
            yield from _image(element)
        else:
            yield from _text(element, 3_000)


def _actions(block: Mapping[str, Any]) -> Iterator[str]:
    elements = block.get("elements")
    if not isinstance(elements, list) or not 1 <= len(elements) <= 25:
        yield "1 to 25 items allowed in elements"
        return
    for element in elements:
        yield from _element(element)


def _element(element: Any) -> Iterator[str]:
    if not isinstance(element, dict) or not isinstance(element.get("type"), str):
        yield "an element needs a type"
        return
    if element["type"] != "button":
        return
    yield from _text(element.get("text"), 75, ("plain_text",))
    for name, limit in (("action_id", 255), ("url", 3_000), ("value", 2_000)):
        if len(str(element.get(name, ""))) > limit:
            yield f"{name} must be less than {limit + 1} characters"


def _image(block: Mapping[str, Any]) -> Iterator[str]:
    if not block.get("image_url") and not block.get("slack_file"):
        yield "missing required field: image_url"
    if not isinstance(block.get("alt_text"), str) or len(block["alt_text"]) > 2_000:
        yield "alt_text must be text of at most 2000 characters"


def _markdown(block: Mapping[str, Any]) -> Iterator[str]:
    text = block.get("text")
    if not isinstance(text, str) or not 1 <= len(text) <= 12_000:
        yield "text must be 1 to 12000 characters"


def _rich_text(block: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(block.get("elements"), list):
        yield "missing required field: elements"


def _nothing(_block: Mapping[str, Any]) -> Iterator[str]:
    yield from ()


BLOCKS: Mapping[str, Check] = {
    "section": _section,
    "header": _header,
    "context": _context,
    "actions": _actions,
    "image": _image,
    "markdown": _markdown,
    "rich_text": _rich_text,
    "divider": _nothing,
}
