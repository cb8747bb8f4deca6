"""
Definitions, right and wrong, from a seed: a right one is made, then hurt in its structure, then written
down as JSON, as YAML or not at all, and then perhaps hurt in its text.

Each case depends on the seed and its own number alone, so that one can be looked at again.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from random import Random
from typing import Any, Literal

import yaml

Form = Literal["json", "yaml", "python"]

NAMES = ("extract", "load", "a", "b.c", "x-1", "T_2", "7", "n" * 63)
CLASSES = ("jobs.load.Load", "a.B", "jobs.etl.orders.Extract_2", "_a._B")
TEXTS = (
    "",
    "soon",
    "é",
    "😀",
    "a\nb",
    "007",
    "yes",
    "null",
    '"',
    "\\",
    "~",
    "<b>",
    "'; --",
    "x" * 300,
)
NUMBERS = (
    0,
    1,
    -1,
    2,
    0.05,
    1e-9,
    99,
    100,
    101,
    1000,
    -1000,
    1001,
    43200,
    43201,
    2**31,
    2**63,
    1e18,
    1e308,
)
FIELDS: dict[str, Callable[[Random], Any]] = {
    "description": lambda chance: chance.choice(TEXTS),
    "timeout_minutes": lambda chance: chance.choice((1, 0.05, 30, 43200, 1.5)),
    "retry_gap_minutes": lambda chance: chance.choice((0, 5, 0.1, 43200)),
    "retry_limit": lambda chance: chance.randrange(101),
    "queue": lambda chance: chance.choice(NAMES),
    "priority": lambda chance: chance.choice((0, -1000, 1000, None)),
    "isolation": lambda chance: chance.choice(("warm", "process")),
    "on_lost_contact": lambda chance: chance.choice(("continue", "kill")),
    "params": lambda chance: params(chance),
}
#: What a part is replaced by. Names that are wrong, numbers out of bounds, values of another kind.
NASTY: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        [],
        {},
        [[]],
        {"": {}},
        "",
        " ",
        "a b",
        "../x",
        "-a",
        "a\n",
        "\x00",
        "\ud800",
    ),
    *("\u202e", "a" * 64, "*", "a.__b__.C", "os;system", "5", "NaN", *NUMBERS, *TEXTS),
    *(10**400, -(10**999), 10**1000, 1e-320, -0.0, {"name": "a"}, ["a", "a"]),
)
#: What only Python can say.
FOREIGN: tuple[Any, ...] = (
    *(
        float("nan"),
        float("inf"),
        b"x",
        {1, 2},
        (1, "a"),
        object(),
        date(2026, 11, 25),
        Decimal("1.5"),
    ),
    *({1: 2}, {None: 1}, {("a",): 1}, range(3), str, 1j, 10**5000, ...),
)
KEYS = (
    "name",
    "jobs",
    "class_name",
    "depends_on",
    "retries",
    "timout_minutes",
    "Name",
    "",
    "a b",
    *FIELDS,
)
#: What is put into a text.
SCRAPS = (
    *(
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        '"',
        "'",
        "\\",
        "\n",
        "\t",
        " ",
        "-",
        "- ",
        "?",
        "&a ",
        "*a",
        "!!str ",
    ),
    *(
        "#",
        "%",
        "@",
        "|",
        ">",
        "<<: ",
        "---\n",
        "...\n",
        "\x00",
        "\x1b[31m",
        "\ud800",
        "\ufeff",
        "\u2028",
    ),
    *(
        r"\u0000",
        r"\ud800",
        r"\x",
        "NaN",
        "1e999",
        "-",
        "0",
        "9" * 1001,
        ".inf",
        "yes",
        "null",
        "010",
    ),
    *(
        "[" * 70,
        "{" * 70,
        "- " * 70,
        '{"a":' * 70,
        '"jobs": [], ',
        "jobs: []\n",
        "&a [*a]",
        "\r",
        "\x85",
        "é",
    ),
)


@dataclass(frozen=True)
class Fuzzed:
    number: int
    form: Form
    #: A text, or a Python value.
    value: Any


def fuzzed(seed: int, number: int) -> Fuzzed:
    chance = Random(f"{seed}:{number}")
    form: Form = chance.choices(("json", "yaml", "python"), (4, 4, 2))[0]
    value = definition(chance)
    for _ in range(chance.choice((0, 0, 1, 1, 2, 4))):
        value = hurt(chance, value, NASTY if form != "python" else NASTY + FOREIGN)
    if form == "python" and chance.random() < 0.02 and (places := list(parts(value))):
        container, key = chance.choice(places)
        container[key] = value
    if form != "python":
        value = written(chance, value, form)
        for _ in range(chance.choice((0, 0, 0, 1, 2, 5))):
            value = scratched(chance, value)
    return Fuzzed(number, form, value)


def definition(chance: Random) -> Any:
    """One that is right."""
    names = chance.sample(NAMES, chance.choice((1, 2, 2, 3, 3, 4, 8)))
    whole: dict[str, Any] = {
        "jobs": [job(chance, names[:at], name) for at, name in enumerate(names)]
    }
    if chance.random() < 0.2:
        # In any order, where each says what it waits for.
        for each in whole["jobs"]:
            each.setdefault("depends_on", [])
        chance.shuffle(whole["jobs"])
    for field in ("description", "params"):
        if chance.random() < 0.2:
            whole[field] = FIELDS[field](chance)
    if chance.random() < 0.2:
        whole["priority"] = chance.randint(-1000, 1000)
    return whole


def job(chance: Random, before: list[str], name: str) -> dict[str, Any]:
    made: dict[str, Any] = {"name": name, "class_name": chance.choice(CLASSES)}
    if chance.random() < 0.5:
        made["depends_on"] = chance.sample(before, chance.randint(0, len(before)))
    for field in chance.sample(list(FIELDS), chance.choice((0, 0, 1, 2))):
        made[field] = FIELDS[field](chance)
    return made


def params(chance: Random, depth: int = 0) -> dict[str, Any]:
    return {
        chance.choice((*TEXTS, *NAMES)): params(chance, depth + 1)
        if chance.random() < 0.2 and depth < 4
        else chance.choice((*TEXTS, *NUMBERS, None, True, [1, ["a"]]))
        for _ in range(chance.randrange(3))
    }


def hurt(chance: Random, whole: Any, nasty: tuple[Any, ...]) -> Any:
    """Change one part of a value."""
    places = list(parts(whole))
    if not places or chance.random() < 0.03:
        return copy.copy(chance.choice(nasty))
    container, key = chance.choice(places)
    match chance.randrange(7):
        case 0 | 1 | 2:
            container[key] = copy.copy(chance.choice(nasty))
        case 3:
            del container[key]
        case 4 if isinstance(container, dict):
            container[chance.choice(KEYS)] = container.pop(key)
        case 5 if isinstance(container, dict):
            container[chance.choice(KEYS)] = copy.copy(chance.choice(nasty))
        case 6 if isinstance(container, dict):
            container[key] = [container[key]] * chance.choice((1, 2))
        case _ if isinstance(container, list):
            container.insert(chance.randrange(len(container) + 1), chance.choice(container))
        case _:
            container[key] = copy.deepcopy(chance.choice(places)[0])
    return whole


def parts(value: Any) -> Any:
    """Every part of a value as (what it is in, its key). What is in itself ends."""
    waiting, seen = [value] if isinstance(value, dict | list) else [], set[int]()
    while waiting:
        container = waiting.pop()
        if id(container) in seen:
            continue
        seen.add(id(container))
        keys = list(container) if isinstance(container, dict) else range(len(container))
        for key in keys:
            yield container, key
            if isinstance(container[key], dict | list):
                waiting.append(container[key])


def written(chance: Random, value: Any, form: Form) -> str:
    """The value as a text; what the writer of YAML cannot write is JSON, which is YAML too."""
    if form == "yaml" and chance.random() < 0.7:
        try:
            return yaml.dump(value, Dumper=_Dumper, allow_unicode=True, sort_keys=False)
        except (yaml.YAMLError, UnicodeEncodeError, RecursionError, ValueError):
            pass
    return json.dumps(value, ensure_ascii=chance.random() < 0.5, indent=chance.choice((None, 1)))


def scratched(chance: Random, text: str) -> str:
    """Change something in a text."""
    at = chance.randrange(len(text) + 1)
    to = min(len(text), at + chance.choice((1, 1, 1, 2, 5, 40)))
    match chance.randrange(6):
        case 0:
            return text[:at] + text[to:]
        case 1 | 2:
            return text[:at] + chance.choice(SCRAPS) + text[at:]
        case 3:
            return text[:at] + chance.choice(SCRAPS) + text[to:]
        case 4:
            back = chance.randrange(len(text) + 1)
            return text[:back] + text[at:to] + text[back:]
        case _:
            return text[:at] if chance.random() < 0.2 else text[:at] + text[at:to] * 2 + text[to:]


_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
