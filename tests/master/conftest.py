from __future__ import annotations

from tests.support.kernel import kernel, one_database, shared, worker

__all__ = ["kernel", "one_database", "shared", "worker"]
