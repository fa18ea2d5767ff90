"""A directory in which files of one name gather: what they are called, which are too old, what is already there.

Invariant: only files whose names we made are read or deleted: `NAME_BEGIN_END.SUFFIX`, `NAME_END.SUFFIX`, what a killed
process left of one, and the mark `.NAME.done`, which says up to when all is done, also after files were fetched away.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from headgate.app.atomicfile import PART, in_one, write_file
from headgate.core.times import DAY_MS, MINUTE_MS, format_ms, parse_ms

__all__ = ["Keep", "Kept", "Shelf", "stamp"]

_STAMP = r"\d{8}T\d{6}Z"
_FOLDER_MODE = 0o750


def stamp(at_ms: int) -> str:
    """A time as a part of a name: 20261120T060000Z."""
    return format_ms(at_ms)[:19].replace("-", "").replace(":", "") + "Z"


@dataclass(frozen=True, slots=True)
class Keep:
    """How many files stay, or for how long, milliseconds; exactly one of them is set."""

    count: int | None = None
    age_ms: int | None = None

    @property
    def text(self) -> str:
        """As the configuration could have it: 30, or 90d."""
        if self.age_ms is None:
            return str(self.count)
        days, rest = divmod(self.age_ms, DAY_MS)
        return f"{self.age_ms // MINUTE_MS}m" if rest else f"{days}d"


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that is there. `until_ms`: up to when it tells."""

    path: Path
    until_ms: int
    bytes: int


class _Mark(msgspec.Struct, frozen=True):
    due: str


@dataclass(frozen=True, slots=True)
class Shelf:
    """Blocking: call it in a thread. `suffixes`: those that files of this name have or had. All raise OSError."""

    folder: Path
    name: str
    suffixes: tuple[str, ...]
    keep: Keep

    def file(self, since_ms: int | None, until_ms: int, suffix: str) -> Path:
        """Where a file of a window belongs; without a begin, that of a moment."""
        begin = "" if since_ms is None else f"{stamp(since_ms)}_"
        return self.folder / f"{self.name}_{begin}{stamp(until_ms)}.{suffix}"

    def prepare(self) -> None:
        """Make the directory; take away what a killed process left."""
        self.folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        part = re.compile(rf"\.{self._name()}\.[a-z0-9_]+{re.escape(PART)}")
        for path in self.folder.iterdir():
            if part.fullmatch(path.name) and path.is_file():
                path.unlink(missing_ok=True)

    def files(self) -> Sequence[Kept]:
        """Ours, the newest first; none where there is no directory."""
        own = re.compile(self._name())
        found = []
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            match = own.fullmatch(path.name)
            if match and path.is_file() and not path.is_symlink():
                found.append(Kept(path, _read_stamp(match["until"]), path.stat().st_size))
        return sorted(found, key=lambda one: (-one.until_ms, one.path.name))

    def _name(self) -> str:
        suffixes = "|".join(map(re.escape, self.suffixes))
        return rf"{re.escape(self.name)}_(?:{_STAMP}_)?(?P<until>{_STAMP})\.(?:{suffixes})"

    def tidy(self, now_ms: int) -> int:
        """Delete those that are too many or too old; returns how many."""
        files = self.files()
        if self.keep.count is not None:
            old = files[self.keep.count :]
        else:
            old = [one for one in files if now_ms - one.until_ms > (self.keep.age_ms or 0)]
        for one in old:
            one.path.unlink(missing_ok=True)
        return len(old)

    @property
    def _mark(self) -> Path:
        return self.folder / f".{self.name}.done"

    def done_ms(self) -> int | None:
        """Up to when all is done; None where nothing is, or nobody can read it."""
        try:
            return parse_ms(msgspec.json.decode(self._mark.read_bytes(), type=_Mark).due)
        except (FileNotFoundError, msgspec.DecodeError, msgspec.ValidationError):
            return None

    async def finish(self, due_ms: int) -> None:
        """Remember that this is done."""
        await write_file(self._mark, in_one(msgspec.json.encode(_Mark(format_ms(due_ms))) + b"\n"))


def _read_stamp(text: str) -> int:
    day, clock = text[:8], text[9:15]
    found = parse_ms(f"{day[:4]}-{day[4:6]}-{day[6:]}T{clock[:2]}:{clock[2:4]}:{clock[4:]}.000Z")
    return found or 0
