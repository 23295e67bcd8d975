"""A request that is not answered: with which status, why, and when it may be tried again."""

from __future__ import annotations

from http import HTTPStatus

from ...ir.errors import ScissionError

__all__ = ["RefusalError", "refused"]


class RefusalError(ScissionError):
    """Why a request is not answered; status: that of HTTP; retry_after: seconds until it is worth trying again."""

    def __init__(self, status: HTTPStatus, reason: str, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.retry_after = retry_after


def refused(reason: str) -> RefusalError:
    """A request that says something wrong.

    >>> refused("no inputs").status
    <HTTPStatus.BAD_REQUEST: 400>
    """
    return RefusalError(HTTPStatus.BAD_REQUEST, reason)
