from __future__ import annotations

from rush.domain.wording import say


def test_what_pydantic_may_find_some_day():
    """An error of a kind that has no wording of its own is still not said in pydantic's words."""
    error = {"type": "new_kind", "loc": ("a",), "msg": "Input should be new", "input": [1]}

    assert say(error) == "cannot be a list"
