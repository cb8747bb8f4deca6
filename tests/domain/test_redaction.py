"""What is secret by its name or its place is shown to nobody."""

from __future__ import annotations

import pytest

from rush.domain.redaction import HIDDEN, has_hidden, is_secret, redacted

MEBIBYTE = 1 << 20


@pytest.mark.parametrize(
    "name", ["password", "DB_PASSWORD", "apiKey", "api-key", "aws.secret", "dbToken", "dsn"]
)
def test_a_name_tells_a_secret(name: str):
    """
    However its words are joined.
    """
    assert is_secret(name)


@pytest.mark.parametrize("name", ["day", "author", "tokens_used", "passenger", "secretary", "key"])
def test_a_name_that_only_looks_like_one_is_none(name: str):
    """
    A word is a word.
    """
    assert not is_secret(name)


def test_secrets_are_hidden_wherever_they_stand():
    """
    In what is nested and in what is listed; nothing else is touched, and empty ones say nothing.
    """
    value = {
        "day": 1,
        "db": [{"password": "x", "token": ""}],
        "url": "postgresql://u:p@host/db?a=b:c@d",
    }

    shown = redacted(value)

    assert shown == {
        "day": 1,
        "db": [{"password": HIDDEN, "token": ""}],
        "url": f"postgresql://u:{HIDDEN}@host/db?a=b:c@d",
    }
    assert has_hidden(shown)
    assert not has_hidden(value)


@pytest.mark.parametrize(
    "text",
    ["x" * MEBIBYTE, "a://" * (MEBIBYTE // 4), "://:" * (MEBIBYTE // 4), "://a:" + ":" * MEBIBYTE],
)
def test_a_large_text_is_looked_through_once(text: str):
    """
    Whoever sends a megabyte without an end to what looks like a URL keeps nobody busy.
    """
    assert redacted(text) == text
