"""The store port's adapters: SQLite with one writer thread, and one in memory.

Invariant: nothing outside this package knows tables; everything is asked through core.storeport.
"""

from headgate.store.files import restore
from headgate.store.memory import MemoryStore
from headgate.store.quota import Quota
from headgate.store.sqlite import SqliteStore

__all__ = ["MemoryStore", "Quota", "SqliteStore", "restore"]
