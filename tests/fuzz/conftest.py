from __future__ import annotations

from tests.support.kernel import kernel, one_database

__all__ = ["kernel", "one_database"]
