"""In place of the module that aiocoap's source distribution leaves out: its base class, and its checks of the log."""

from __future__ import annotations

import functools
import gc
import logging
import unittest

CLEANUPTIME = 0.01  # seconds; its tests wait that long themselves


def precise_warnings(expected):
    """Require exactly these warnings in the log; one that ends in ``...`` stands for what begins so."""

    def decorate(test):
        @functools.wraps(test)
        async def checked(self):
            start = len(self.records)
            await test(self)
            warnings = [record.getMessage() for record in self.records[start:] if record.levelno >= logging.WARNING]
            got = [text for text in warnings if not text.startswith("Executing ")]  # asyncio's, on a busy machine
            self.assertEqual(len(got), len(expected), got)
            for text, pattern in zip(got, expected, strict=True):
                if pattern.endswith("..."):
                    self.assertTrue(text.startswith(pattern[:-3]), text)
                else:
                    self.assertEqual(text, pattern)

        return checked

    return decorate


def no_warnings(test):
    """Require that the log has no warnings."""
    return precise_warnings([])(test)


class Destructing(unittest.IsolatedAsyncioTestCase):
    """Keeps the log of each test."""

    async def asyncSetUp(self):
        self.records = []
        handler = logging.Handler()
        handler.emit = self.records.append
        logging.root.addHandler(handler)
        self.addCleanup(logging.root.removeHandler, handler)
        await super().asyncSetUp()

    async def _del_to_be_sure(self, what):
        self.records.clear()
        if isinstance(what, dict):
            what["del"](self)
        else:
            delattr(self, what)
        gc.collect()
