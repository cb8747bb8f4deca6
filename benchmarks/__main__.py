"""
A sitting: W1 to W5 on one server, round after round, in turns.

    python -m benchmarks                            Rush alone, a round
    python -m benchmarks --peers --rounds 5         beside PgQueuer, procrastinate and DBOS
    python -m benchmarks W1 W4 --rush 1x2 --rush 2x1
    python -m benchmarks --peers --scale 0.02       does it all work?

Prints a table; every value, and a picture, are kept in build/bench/.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks import environments, report
from benchmarks.children import stamps
from benchmarks.goals import Sizes
from benchmarks.picture import draw
from benchmarks.products import PEERS, WORKLOADS, Peer, Product, RushItself
from benchmarks.server import FOLDER, Server, running


def main() -> None:
    arguments = _parser().parse_args()
    products: list[Product] = [RushItself(*shape) for shape in arguments.rush or [(1, 2)]]
    products += [peer for peer in PEERS if peer.name in arguments.peers]
    for product in products:
        if isinstance(product, Peer):
            environments.python_of(product.script)
    sizes = Sizes() if arguments.scale == 1 else Sizes().scaled(arguments.scale)
    with running(arguments.url, embedded=arguments.embedded) as server:
        sitting = report.Sitting.begin(server, products, sizes)
        for number in range(arguments.rounds):
            _round(server, sitting, number, products, sizes, set(arguments.workloads or WORKLOADS))
    print(report.table(sitting))
    picture = FOLDER / f"{sitting.name}.svg"
    picture.write_text(draw(sitting))
    print(f"\nall values: {sitting.path}\na picture:  {picture}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [peer.name for peer in PEERS]
    parser.add_argument("workloads", nargs="*", metavar="W1 … W5", help="only these")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument(
        "--rush",
        type=_shape,
        action="append",
        metavar="WORKERSxSLOTS",
        help="how Rush is run (default: 1x2); several stand side by side",
    )
    parser.add_argument(
        "--peers",
        nargs="*",
        default=[],
        choices=names,
        metavar="PEER",
        action=_AllWhenBare,
        help=f"beside these, or all: {', '.join(names)}",
    )
    parser.add_argument("--scale", type=float, default=1, help="a part of each workload, to try it")
    parser.add_argument(
        "--url", help="a server on which databases may be made (default: one's own)"
    )
    parser.add_argument(
        "--embedded",
        action="store_true",
        help="the embedded PostgreSQL, also where the machine has one",
    )
    return parser


class _AllWhenBare(argparse.Action):
    """`--peers` alone means all of them."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        setattr(namespace, self.dest, values or list(self.choices or ()))


def _shape(text: str) -> tuple[int, int]:
    workers, _, slots = text.partition("x")
    return int(workers), int(slots)


def _round(
    server: Server,
    sitting: report.Sitting,
    number: int,
    products: list[Product],
    sizes: Sizes,
    workloads: set[str],
) -> None:
    """Everybody once; who begins changes, since what ran before leaves the machine warm."""
    turn = number % len(products)
    for product in products[turn:] + products[:turn]:
        print(f"round {number + 1}: {product.name}", file=sys.stderr)
        with server.database() as url, stamps() as found:
            sitting.add(product.name, product.round(url, found, sizes, workloads))


if __name__ == "__main__":
    main()
