"""Where to look: everywhere, but for what slow looks have seen to be dead."""

from __future__ import annotations

from rush.domain.looks import EVERYTHING, LATE, SELDOM, SELDOMMEST, SLOW, Horizon, Line, Looks


def slow(looks: Looks, seconds: float, now: float) -> None:
    """Two looks at everything take so long; the second ends now."""
    for _ in range(2):
        assert looks.whole(now)
        looks.took(seconds, now)


def bands(line: Line, now: float) -> list[tuple[int, int, int]]:
    """From priority, to priority, from turn."""
    columns = [
        [int(number) for number in text.strip("{}").split(",")] for text in line.bands(now).values()
    ]
    return list(zip(*columns, strict=True))


def test_while_looks_are_quick_they_go_over_everything():
    looks = Looks()

    for now in range(10, 20):
        assert looks.whole(now)
        looks.took(SLOW / 2, now)

    assert looks.wait(20) == float("inf")


def test_one_slow_look_may_have_been_held_up_by_something_else():
    looks = Looks()
    for seconds in (1, SLOW / 2, 1):
        assert looks.whole(10)
        looks.took(seconds, 10)

    assert looks.whole(10)
    looks.took(1, 10)

    assert not looks.whole(10)


def test_slow_looks_take_a_tenth_of_the_time_at_most():
    looks = Looks()
    slow(looks, 2, now=12)

    assert not looks.whole(12 + 2 * SELDOM - 0.1)
    assert looks.whole(12 + 2 * SELDOM)


def test_however_long_a_look_has_taken_everything_is_looked_at_again():
    """By a clock that jumped or a machine that slept, eight hours."""
    looks = Looks()
    slow(looks, 8 * 3600, now=10)

    assert not looks.whole(11)
    assert looks.whole(10 + SELDOMMEST)


def test_what_was_left_out_is_looked_at_when_that_is_over():
    """And nobody waits for it where nothing was left out."""
    looks = Looks()
    slow(looks, 1, now=10)
    assert looks.wait(10) == float("inf")

    assert not looks.whole(12)
    assert looks.wait(12) == SELDOM - 2

    assert looks.whole(30)
    assert looks.wait(30) == float("inf")


def test_what_is_known_to_be_there_is_looked_for_everywhere():
    looks = Looks()
    slow(looks, 1, now=10)

    looks.look_at_all()

    assert looks.whole(11)


def test_a_horizon_lies_a_little_before_what_is_not_over():
    """Ids are committed in another order than they are drawn."""
    horizon = Horizon()
    slow(horizon, 1, now=10)

    horizon.looked(0, first=LATE + 501, newest=LATE + 900, now=11)
    assert horizon.after(12) == 500

    horizon.looked(0, first=None, newest=LATE + 900, now=12)
    assert horizon.after(13) == 900
    assert horizon.after(10 + SELDOM) == 0


def test_a_horizon_is_none_while_looks_are_quick():
    horizon = Horizon()
    assert horizon.after(10) == 0
    horizon.looked(SLOW / 2, first=None, newest=50_000, now=10)

    assert horizon.after(10) == 0


def test_a_gap_lies_before_the_first_of_its_priority():
    """What is more urgent is looked at from its beginning, and so is what is less."""
    line = Line()
    slow(line, 1, now=10)
    line.looked(1, first=[3, 500], newest=900, now=10)

    above, at, below = bands(line, now=11)

    assert above == (4, 2**31 - 1, -(2**63))
    assert at == (3, 3, 500)
    assert below == (-(2**31), 2, -(2**63))
    assert line.bands(10 + SELDOM) == EVERYTHING


def test_a_gap_grows_with_what_is_taken_from_the_front():
    line = Line()
    slow(line, 1, now=10)
    line.looked(1, first=[0, 500], newest=900, now=10)

    for turn in (700, 600):
        line.bands(11)
        line.looked(0, first=[0, turn], newest=900, now=11)

    assert bands(line, now=12)[1] == (0, 0, 700)


def test_with_nobody_in_line_all_that_was_is_left_out():
    line = Line()
    slow(line, 1, now=10)
    line.looked(1, first=[5, 500], newest=900, now=10)
    line.bands(11)

    line.looked(0, first=None, newest=900, now=11)

    assert [band for band in bands(line, now=12) if band[0] == band[1]] == [
        (5, 5, 900),
        (0, 0, 900),
    ]


def test_each_priority_has_a_gap_of_its_own():
    line = Line()
    slow(line, 1, now=10)
    line.looked(1, first=[0, 500], newest=900, now=10)
    line.bands(11)
    line.looked(1, first=[1, 40], newest=900, now=11)

    assert [band[:2] for band in bands(line, now=11)] == [
        (2, 2**31 - 1),
        (1, 1),
        (0, 0),
        (-(2**31), -1),
    ]


def test_no_band_lies_beyond_the_numbers_that_there_are():
    line = Line()
    slow(line, 1, now=10)
    line.looked(1, first=[2**31 - 1, 1], newest=900, now=10)
    line.looked(1, first=[-(2**31), 1], newest=900, now=10)

    assert [band[:2] for band in bands(line, now=11)] == [
        (2**31 - 1, 2**31 - 1),
        (-(2**31) + 1, 2**31 - 2),
        (-(2**31), -(2**31)),
    ]
