"""Start a worker of this project: `python main.py worker1` is `rush worker worker1`."""

import sys
from pathlib import Path

from rush.cli.__main__ import main

if __name__ == "__main__":
    main(["worker", *sys.argv[1:], "--project", str(Path(__file__).parent)])
