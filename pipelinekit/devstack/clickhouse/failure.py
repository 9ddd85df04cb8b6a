"""The engine's errors: their code, and the HTTP status that a ClickHouse server gives it."""

from __future__ import annotations

import re

_CODE = re.compile(r"Code: (\d+)\. ")
_UNKNOWN_CODE = 1002  # UNKNOWN_EXCEPTION
# src/Server/HTTP/exceptionCodeToHTTPStatus.cpp
_STATUSES = {
    400: (6, 25, 26, 27, 28, 38, 41, 53, 62, 69, 72, 117, 130, 131, 168, 190, 376, 457),
    404: (11, 16, 36, 44, 46, 47, 50, 56, 60, 63, 73, 81, 82, 83, 84, 115, 179),
    408: (159,),
    413: (307, 508),
    501: (48,),
    503: (76, 209, 210, 439),
}
_STATUS_OF_CODE = {code: status for status, codes in _STATUSES.items() for code in codes}


class EngineError(Exception):
    """A refusal of this server's own, in the engine's form."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {text}")


def code_of(error: BaseException) -> int:
    """The error's number in ClickHouse's list (src/Common/ErrorCodes.cpp)."""
    found = _CODE.search(str(error))
    return int(found[1]) if found else _UNKNOWN_CODE


def status_of(code: int) -> int:
    return _STATUS_OF_CODE.get(code, 500)
