"""What somebody asks a client for, checked before the database is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rush.domain import strictjson
from rush.domain.located import described, fault_of_text
from rush.errors import (
    ConfigurationError,
)

MAX_ID = 2**63 - 1
MAX_INSTANCE = 2**31 - 1
MAX_KEY = 200


def plain_mapping(mapping: object) -> Any:
    """A mapping as a dict; anything else as it is, for what checks it to say so."""
    return dict(mapping) if isinstance(mapping, Mapping) else mapping


def number_within(digits: str, limit: int) -> int | None:
    """The number that some digits make, unless it is beyond the limit."""
    digits = digits.lstrip("0") or "0"
    number = int(digits) if len(digits) <= len(str(limit)) else limit + 1
    return number if number <= limit else None


def checked_instance(jobinstance: object) -> int | None:
    if jobinstance is None:
        return None
    if isinstance(jobinstance, bool) or not isinstance(jobinstance, int):
        raise ConfigurationError(
            f"jobinstance must be a whole number, not a Python {type(jobinstance).__name__}"
        )
    if not 1 <= jobinstance <= MAX_INSTANCE:
        raise ConfigurationError(
            f"jobinstance must be from 1 to {MAX_INSTANCE}, not {described(jobinstance)}"
        )
    return jobinstance


def check_number(number: object, what: str, least: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int):
        raise ConfigurationError(
            f"{what} must be a whole number, not a Python {type(number).__name__}"
        )
    if not least <= number <= MAX_ID:
        raise ConfigurationError(
            f"{what} must be from {least} to {MAX_ID}, not {described(number)}"
        )


def check_timeout(timeout: object) -> None:
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise ConfigurationError(
            f"timeout must be a number of seconds, not a Python {type(timeout).__name__}"
        )
    if not timeout >= 0:
        raise ConfigurationError(f"timeout must be 0 or more seconds, not {timeout}")


def checked_params(params: object) -> dict[str, Any] | None:
    if params is None:
        return None
    if not isinstance(params, Mapping):
        raise ConfigurationError(
            f"params must be a mapping of names to values, not a Python {type(params).__name__}"
        )
    plain: dict[str, Any] = dict(params)
    strictjson.check(plain, within="params")
    return plain


def checked_key(key: object) -> str | None:
    if key is None:
        return None
    if not isinstance(key, str):
        raise ConfigurationError(
            f"an idempotency key must be text, not a Python {type(key).__name__}"
        )
    if fault := fault_of_text(key):
        raise ConfigurationError(f"an idempotency key {fault}")
    if not 1 <= len(key) <= MAX_KEY:
        raise ConfigurationError(
            f"an idempotency key must have 1 to {MAX_KEY} characters, not {len(key)}"
        )
    return key
