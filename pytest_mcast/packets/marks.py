"""The mark in the payload of a probe, by which it is known again wherever it turns up.

It is printable, so that programs which print payloads print it, and it ends within the first 44 bytes, so that those which
print no more than the beginning print all of it. A mark is a number and its complement: ``a`` to ``p`` stand for 0 to 15 in
the one and for 15 to 0 in the other. So each of its 16-bit words and the complement of that word add up to 0xD1D1, and no
checksum changes when another mark is put in its place (RFC 1071).
"""

from __future__ import annotations

__all__ = ["MARKED", "MARK_PLACE", "MARK_SIZE", "RECOGNISED", "mark_of", "new_mark", "payload_with"]

_PREFIX = b"mcast-probe:"  # even, so that the words of the mark are words of the checksum
_NUMBER = 16  # hexadecimal digits

#: Where the mark starts in a payload, and how long it is, in bytes.
MARK_PLACE, MARK_SIZE = len(_PREFIX), 2 * _NUMBER
#: The smallest payload with a whole mark.
MARKED = MARK_PLACE + MARK_SIZE
#: The smallest beginning of a payload that says which probe it is.
RECOGNISED = MARK_PLACE + _NUMBER

_DIGITS, _LETTERS = b"0123456789abcdef", b"abcdefghijklmnop"
_TO_LETTERS = bytes.maketrans(_DIGITS, _LETTERS)
_TO_COMPLEMENT = bytes.maketrans(_LETTERS, _LETTERS[::-1])
_TO_DIGITS = bytes(_DIGITS[_LETTERS.index(octet)] if octet in _LETTERS else ord("-") for octet in range(256))
_FILLER = bytes(range(0x21, 0x7F))  # 94 characters, so that no two fragments look the same


def new_mark(run: int, number: int) -> bytes:
    """Return the mark of a datagram: a number of the run, and one of its own, 32 bits each, and their complement."""
    letters = (b"%016x" % (run << 32 | number & 0xFFFFFFFF)).translate(_TO_LETTERS)
    return letters + letters.translate(_TO_COMPLEMENT)


def payload_with(mark: bytes, size: int) -> bytes:
    """Return a payload of that many bytes with the mark in it, or as much of it as there is room for."""
    missing = max(0, size - MARKED)
    return (_PREFIX + mark + (_FILLER * (missing // len(_FILLER) + 1))[:missing])[:size]


def mark_of(payload: bytes) -> tuple[int, int] | None:
    """Return the numbers in a payload's mark; None when it has none, or is cut off in it (before ``RECOGNISED`` bytes)."""
    if not payload.startswith(_PREFIX) or len(payload) < RECOGNISED:
        return None
    letters, complement = payload[MARK_PLACE:RECOGNISED], payload[RECOGNISED:MARKED]
    digits = letters.translate(_TO_DIGITS)
    if b"-" in digits or not letters.translate(_TO_COMPLEMENT).startswith(complement):
        return None
    value = int(digits, 16)
    return value >> 32, value & 0xFFFFFFFF
