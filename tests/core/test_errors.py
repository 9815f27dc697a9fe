"""The tree of exceptions, and their texts."""

from __future__ import annotations

import builtins
import errno
import os
import pickle
import re

from pytest_mcast.core import MembershipError, MissingCapability, NotReceived, errors

from . import support


def drawn_tree() -> dict[str, set[str]]:
    """Each exception in the docstring of ``errors`` with the bases drawn there."""
    lines = re.findall(r"^ *[├└]── (\w+) \(([\w, ]+)\)", errors.__doc__ or "", re.MULTILINE)
    return {name: {"McastError", *bases.split(", ")} for name, bases in lines}


def defined_tree() -> dict[str, set[str]]:
    classes = [getattr(errors, name) for name in errors.__all__]
    return {
        c.__name__: {base.__name__ for base in c.__bases__}
        for c in classes
        if issubclass(c, errors.McastError) and c is not errors.McastError
    }


class Tree(support.CoreTestCase):
    def test_the_tree_in_the_docstring_is_that_of_the_classes(self) -> None:
        self.assertEqual(drawn_tree(), defined_tree())

    def test_every_exception_has_a_built_in_base(self) -> None:
        for name, bases in defined_tree().items():
            with self.subTest(name):
                self.assertTrue(any(hasattr(builtins, base) for base in bases))

    def test_the_only_warning_is_a_user_warning(self) -> None:
        others = set(errors.__all__) - set(defined_tree()) - {"McastError"}
        self.assertEqual(others, {"CappedBufferWarning"})
        self.assertTrue(issubclass(errors.CappedBufferWarning, UserWarning))

    def test_not_received_is_a_failed_assertion_and_a_time_out(self) -> None:
        self.assertTrue(issubclass(NotReceived, AssertionError) and issubclass(NotReceived, TimeoutError))


class Membership(support.CoreTestCase):
    def error(self, code: int) -> MembershipError:
        return MembershipError.of("join", "239.1.2.3 on eth0", OSError(code, os.strerror(code)))

    def test_the_errno_is_kept(self) -> None:
        self.assertEqual(self.error(errno.ENODEV).errno, errno.ENODEV)

    def test_the_text_has_the_call_the_errno_and_a_hint(self) -> None:
        self.assertEqual(
            str(self.error(errno.ENODEV)),
            f"cannot join 239.1.2.3 on eth0: ENODEV ({os.strerror(errno.ENODEV)}): "
            "the interface is gone, or none was named and no route leads to the group",
        )

    def test_every_usual_errno_has_a_hint(self) -> None:
        for name in ("ENODEV", "ENOBUFS", "EADDRINUSE", "EADDRNOTAVAIL", "EINVAL", "ENOMEM"):
            code = getattr(errno, name)
            with self.subTest(name):
                self.assertRegex(str(self.error(code)), rf"^cannot .*: {name} \({re.escape(os.strerror(code))}\): \w")

    def test_an_unusual_errno_has_none(self) -> None:
        self.assertTrue(str(self.error(errno.EPERM)).endswith(f"EPERM ({os.strerror(errno.EPERM)})"))

    def test_it_crosses_the_border_of_a_process(self) -> None:
        error = self.error(errno.ENODEV)
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
        self.assertEqual((str(copy), copy.errno), (str(error), errno.ENODEV))

    def test_an_error_without_errno_is_told(self) -> None:
        error = MembershipError.of("leave", "239.1.2.3 on eth0", OSError("odd"))
        self.assertEqual(error.errno, 0)
        self.assertIn("cannot leave 239.1.2.3 on eth0", str(error))


class Missing(support.CoreTestCase):
    error = MissingCapability("ipv6", "no address on eth0", "enable IPv6 on eth0")

    def test_the_text_has_reason_and_remedy(self) -> None:
        self.assertEqual(str(self.error), "ipv6: no address on eth0; enable IPv6 on eth0")

    def test_the_parts_are_kept(self) -> None:
        parts = (self.error.capability, self.error.reason, self.error.remedy)
        self.assertEqual(parts, ("ipv6", "no address on eth0", "enable IPv6 on eth0"))

    def test_it_crosses_the_border_of_a_process(self) -> None:
        self.assertEqual(str(pickle.loads(pickle.dumps(self.error))), str(self.error))  # noqa: S301 - our own
