"""The command `rush`, as `python -m rush.cli` too. Says its version before anything heavy is imported."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rush import __version__

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code. `arguments` are sys.argv's where not given."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if list(arguments) == ["--version"]:
        print(f"rush {__version__}")
        return
    try:
        from rush.cli.app import run

        sys.exit(run(arguments))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
