"""Where to look: everywhere, but for what a slow look has seen to be dead."""

from __future__ import annotations

from rush.domain.looks import EVERYTHING, LATE, SELDOM, SLOW, Horizon, Line


def bands(line: Line, now: float) -> list[tuple[int, int, int]]:
    """From priority, to priority, from turn."""
    columns = [
        [int(number) for number in text.strip("{}").split(",")]
        for text in line.bands(now=now).values()
    ]
    return list(zip(*columns, strict=True))


def test_while_looks_are_quick_they_go_over_everything():
    line = Line()

    line.looked(SLOW / 2, priority=0, turn=500, now=10)

    assert line.bands(now=10) == EVERYTHING
    assert line.wait(now=10) == float("inf")


def test_a_slow_look_teaches_what_to_leave_out_in_its_priority():
    """What is more urgent is looked at from its beginning, and so is what is less."""
    line = Line()
    line.bands(now=10)

    line.looked(1, priority=3, turn=500, now=10)

    above, at, below = bands(line, now=11)
    assert above[:2] == (4, 2**31 - 1)
    assert at == (3, 3, 500)
    assert below[:2] == (-(2**31), 2)
    assert above[2] == below[2] == -(2**63)


def test_slow_looks_take_a_tenth_of_the_time_at_most():
    line = Line()
    line.bands(now=10)
    line.looked(2, priority=0, turn=500, now=12)

    assert line.bands(now=12 + 2 * SELDOM - 0.1) != EVERYTHING
    assert line.bands(now=12 + 2 * SELDOM) == EVERYTHING


def test_what_was_left_out_is_looked_at_when_that_is_over():
    """And nobody waits for it where nothing was left out."""
    line = Line()
    line.bands(now=10)
    line.looked(1, priority=0, turn=500, now=10)
    assert line.wait(now=10) == float("inf")

    line.bands(now=12)
    assert line.wait(now=12) == SELDOM - 2

    line.bands(now=30)
    assert line.wait(now=30) == float("inf")


def test_the_gap_grows_with_what_is_taken_from_the_front():
    """Quick looks move its end, and not the time of the next look at everything."""
    line = Line()
    line.bands(now=10)
    line.looked(1, priority=0, turn=500, now=10)
    line.bands(now=11)

    line.looked(0, priority=0, turn=700, now=11)
    line.looked(0, priority=0, turn=600, now=11)

    assert bands(line, now=12)[1] == (0, 0, 700)
    assert line.bands(now=10 + SELDOM) == EVERYTHING


def test_each_priority_has_a_gap_of_its_own():
    line = Line()
    line.bands(now=10)
    line.looked(1, priority=0, turn=500, now=10)
    line.bands(now=11)
    line.looked(1, priority=1, turn=40, now=11)

    assert [band[:2] for band in bands(line, now=11)] == [
        (2, 2**31 - 1),
        (1, 1),
        (0, 0),
        (-(2**31), -1),
    ]


def test_no_band_lies_beyond_the_numbers_that_there_are():
    line = Line()
    line.bands(now=10)
    line.looked(1, priority=2**31 - 1, turn=1, now=10)
    line.looked(1, priority=-(2**31), turn=1, now=10)

    assert [band[:2] for band in bands(line, now=11)] == [
        (2**31 - 1, 2**31 - 1),
        (-(2**31) + 1, 2**31 - 2),
        (-(2**31), -(2**31)),
    ]


def test_a_horizon_follows_what_is_over_at_a_distance():
    """Ids are committed in another order than they are drawn."""
    horizon = Horizon()
    assert horizon.after(now=10) == 0
    horizon.took(1, now=10)
    assert horizon.after(now=11) == 0

    horizon.over(LATE + 500)
    horizon.over(LATE + 300)
    horizon.over(None)

    assert horizon.after(now=12) == 500
    assert horizon.wait(now=12) == SELDOM - 2
    assert horizon.after(now=10 + SELDOM) == 0


def test_a_horizon_is_none_while_looks_are_quick():
    horizon = Horizon()
    horizon.after(now=10)
    horizon.over(10_000)
    horizon.took(SLOW / 2, now=10)

    assert horizon.after(now=10) == 0


def test_what_is_known_to_be_there_is_looked_for_everywhere():
    horizon = Horizon()
    horizon.over(10_000)
    horizon.after(now=10)
    horizon.took(1, now=10)
    assert horizon.after(now=11) > 0

    horizon.look_at_all()

    assert horizon.after(now=11) == 0
