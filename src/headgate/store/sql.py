"""The connection type of this package: apsw's, with rows as untyped tuples, as SQL leaves them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import apsw

__all__ = ["Database"]

if TYPE_CHECKING:

    class Database(apsw.Connection):
        """What the type checker sees; columns are declared in the migrations, not in Python."""

        def execute(self, *args: Any, **kwargs: Any) -> Any:
            """A cursor over untyped rows."""

else:
    Database = apsw.Connection
