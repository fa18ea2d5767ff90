"""Headgate where packages are not installed: `python -m tests.e2e.without NAME,NAME run -c FILE`."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder

from headgate.cli import main

_ABSENT = frozenset(sys.argv.pop(1).split(","))


class _Absent(MetaPathFinder):
    """Finds none of these packages, and says so as Python does."""

    def find_spec(self, fullname: str, *_: object) -> None:
        if any(fullname == one or fullname.startswith(f"{one}.") for one in _ABSENT):
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


sys.meta_path.insert(0, _Absent())

if __name__ == "__main__":
    sys.exit(main())
