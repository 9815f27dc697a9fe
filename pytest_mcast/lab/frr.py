"""FRRouting in a router: zebra and pimd, for PIM-SM and PIM-SSM with IGMPv3. https://docs.frrouting.org/en/latest/pim.html.

Its daemons change to a user of their own. They get an /etc/passwd by which that is the user who runs this, so that there
is nothing to change, and an ordinary user can run them where he may build networks.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .daemon import RoutingDaemon, expect_each, find, start
from .named import host_named, lines_named, seconds_named

if TYPE_CHECKING:
    from pytest_mcast.hosts import Host

    from .router import Router

__all__ = ["start_frr"]

_PLACES = ("/usr/lib/frr", "/usr/libexec/frr", "/usr/lib64/frr")  # Debian, Fedora, openSUSE
_USERS = "frr:x:{user}:{group}::/:/bin/false\n"
_GROUP = "frr:x:{group}:\nfrrvty:x:{group}:frr\n"
# zebra goes into the background as soon as it listens; then pimd, which asks it about interfaces, need not try twice.
_SCRIPT = """
zebra=$1 pimd=$2
shift 2
"$zebra" -d -i /run/zebra.pid -f /run/zebra.conf --log file:/proc/self/fd/1 "$@" || exit
"$pimd" -i /run/pimd.pid -f /run/pimd.conf --log stdout "$@" &
trap 'kill $!' TERM
wait $!
code=$?
wait
kill "$(cat /run/zebra.pid)"
exit $code
"""
_OPTIONS = ["-u", "frr", "-g", "frr", "-P", "0", "--vty_socket", "/run", "-z", "/run/zserv.api", "--log-level", "debug"]
_INTERFACE = """
interface {name}
 ip pim
 ip pim hello 1
 ip igmp
 ip igmp query-max-response-time 10
 ip igmp query-interval {interval}
 ip igmp last-member-query-interval 1
"""


def start_frr(
    router: Router, *, rp: Host | str | None, query_interval: int, extra: Sequence[str], timeout: float
) -> RoutingDaemon:
    """Start it, and wait until PIM is up on all interfaces; see ``Router.frr``."""
    zebra = find("zebra", "frr", places=_PLACES)
    pimd = find("pimd", "frr", places=(os.path.dirname(zebra), *_PLACES), beside="zebra")
    lines = ["debug pim events", "debug igmp events", "debug mroute", "ip pim join-prune-interval 5"]
    if rp is not None:
        lines.append(f"ip pim rp {host_named('rp', rp, 'ipv4')} 224.0.0.0/4")
    seconds_named("query_interval", query_interval)
    lines += [_INTERFACE.format(name=name, interval=query_interval) for name in router.names]
    user, group = os.geteuid(), os.getegid()
    return start(
        router,
        ["sh", "-c", _SCRIPT, "frr", zebra, pimd, *_OPTIONS],
        lambda program: expect_each(program, r"PIM INTERFACE UP: on interface (\S+)", router.names, timeout),
        private=("/run", "/var/tmp"),  # noqa: S108 - its own
        files={
            "/run/zebra.conf": "",
            "/run/pimd.conf": "\n".join([*lines, *lines_named(extra), ""]),
            "/etc/passwd": _USERS.format(user=user, group=group),
            "/etc/group": _GROUP.format(group=group),
        },
        member=r"\({channel}\) membership now is INCLUDE",
        at_once=True,
    )
