"""What stands on a page can be read, in the light and in the dark."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

from rush.domain.states import JobState

STATIC = Path(__file__).parents[2] / "src/rush/web/static"
TOKENS = (STATIC / "css/tokens.css").read_text()
PAIR = re.compile(r"--([a-z0-9-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);")
COLOURS = {name: (light, dark) for name, light, dark in PAIR.findall(TOKENS)}
TERMINAL = re.compile(
    r"((?:\.a-ink\d+[ ,]*)+){ color: light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\); }"
)
THEMES = ["light", "dark"]

STATES = [f"s-{state.lower()}" for state in JobState]
GROUNDS = ["n0", "n1", "n2"]  # the page, a stripe or a code block, a row that is pointed at


def luminance(colour: str) -> float:
    """The relative luminance of WCAG 2.2."""

    def linear(channel: int) -> float:
        share = channel / 255
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(int(colour[at : at + 2], 16)) for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str, theme: str) -> float:
    """Between two of the tokens, or a colour and one of them."""
    colours = [
        COLOURS[name][THEMES.index(theme)] if name in COLOURS else name for name in (one, other)
    ]
    lights = sorted(map(luminance, colours))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


@pytest.mark.parametrize("theme", THEMES)
def test_text_and_states_can_be_read(theme: str) -> None:
    """Words in a neutral, in the accent or in a state's colour have 4.5:1 on every ground."""
    inks = ["n7", "n8", "n9", "n10", "accent", "accent-strong", *STATES]
    faint = [
        (ink, ground, round(contrast(ink, ground, theme), 2))
        for ink, ground in product(inks, GROUNDS)
        if contrast(ink, ground, theme) < 4.5
    ]

    assert faint == []


@pytest.mark.parametrize("theme", THEMES)
def test_what_lies_on_a_colour_can_be_read(theme: str) -> None:
    """Marks on an area filled with a state's colour, and words on the accent, have 4.5:1."""
    pairs = [("on-accent", "accent"), ("on-accent", "accent-strong"), ("accent", "accent-soft")]
    pairs += [("n10", "accent-soft"), ("n7", "accent-soft")]
    pairs += [("on-state", state) for state in STATES]
    pairs += [(state, "accent-soft") for state in STATES]  # in a row that is chosen

    faint = [pair for pair in pairs if contrast(*pair, theme) < 4.5]

    assert faint == []


@pytest.mark.parametrize("theme", THEMES)
def test_what_a_job_prints_in_colours_can_be_read(theme: str) -> None:
    """A terminal's sixteen colours are moved to where they can be read in a log."""
    found = TERMINAL.findall((STATIC / "css/parts.css").read_text())
    inks = [pair[THEMES.index(theme)] for _, *pair in found]

    assert len(found) == 8
    assert [
        ink for ink, ground in product(inks, ["n0", "n1"]) if contrast(ink, ground, theme) < 4.5
    ] == []


@pytest.mark.parametrize("theme", THEMES)
def test_edges_of_controls_can_be_seen(theme: str) -> None:
    """The edge of what can be typed into or pressed has 3:1 on the page."""
    assert contrast("n6", "n0", theme) >= 3
    assert contrast("n6", "n1", theme) >= 3


@pytest.mark.parametrize("theme", THEMES)
def test_the_ramp_rises(theme: str) -> None:
    """Each neutral has more contrast to the page than the one before."""
    steps = [contrast(f"n{step}", "n0", theme) for step in range(11)]

    assert steps == sorted(steps)
    assert len(set(steps)) == 11


def test_every_state_has_a_colour_and_a_shape() -> None:
    """No state is told by its colour alone: the sprite has a shape for each."""
    sprite = (STATIC / "icons.svg").read_text()

    for state in JobState:
        assert f"s-{state.lower()}" in COLOURS
        assert f'<symbol id="{state}"' in sprite
        assert f'[data-state="{state}"]' in TOKENS
