"""The door of a dashboard with accounts: browsers sign in by a password, programs by a token."""

from __future__ import annotations

import secrets

from fastapi import Request, Response

from rush.errors import RushError
from rush.store import accounts
from rush.web.database import Database
from rush.web.guard import NOBODY, Role, Visitor
from rush.web.passwords import Attempts, fingerprint, fits

COOKIE = "rush_session"
#: How long a browser stays signed in, in seconds.
SESSION = 7 * 24 * 3600.0


class TooManyAttempts(RushError):
    """A password was wrong too often."""


class WrongPassword(RushError):
    """Name and password do not belong together."""


class Accounts:
    """Lets in who is in the table `account`."""

    def __init__(self, database: Database, base: str) -> None:
        self._database = database
        self._path = base or "/"
        self._attempts = Attempts()

    def visitor(self, request: Request) -> Visitor:
        """Who asks; nobody, where neither token nor cookie says so."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self._of_token(token.strip())
        cookie = request.cookies.get(COOKIE)
        return NOBODY if cookie is None else self._of_session(cookie)

    def sign_in(self, request: Request, name: str, password: str) -> str:
        """
        What the cookie shall say. Raises WrongPassword, and TooManyAttempts after some of these.
        """
        keys = [f"name {name}", f"host {request.client.host if request.client else ''}"]
        left = max(self._attempts.wait_for(key) for key in keys)
        if left:
            raise TooManyAttempts(f"too many attempts: try again in {left:.0f} s")
        with self._database.client() as client:
            account = client.read(accounts.account, name)
        if not fits(password, None if account is None else account.password):
            for key in keys:
                self._attempts.note_failure(key)
            raise WrongPassword("name and password do not belong together")
        token = secrets.token_urlsafe(32)
        with self._database.client() as client:
            client.write(
                accounts.sign_in,
                fingerprint(token),
                account=name,
                csrf=secrets.token_urlsafe(24),
                seconds=SESSION,
            )
        return token

    def sign_out(self, request: Request) -> None:
        if cookie := request.cookies.get(COOKIE):
            with self._database.client() as client:
                client.write(accounts.sign_out, fingerprint(cookie))

    def give_cookie(self, request: Request, answer: Response, token: str) -> None:
        answer.set_cookie(
            COOKIE,
            token,
            max_age=int(SESSION),
            path=self._path,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )

    def take_cookie(self, answer: Response) -> None:
        answer.delete_cookie(COOKIE, path=self._path)

    def _of_token(self, token: str) -> Visitor:
        with self._database.client() as client:
            row = client.read(accounts.account_of_token, fingerprint(token))
        return NOBODY if row is None else Visitor(name=row.name, role=Role[row.role], via="token")

    def _of_session(self, cookie: str) -> Visitor:
        with self._database.client() as client:
            row = client.read(accounts.signed_in, fingerprint(cookie))
        if row is None:
            return NOBODY
        return Visitor(name=row.name, role=Role[row.role], via="session", csrf=row.csrf)
