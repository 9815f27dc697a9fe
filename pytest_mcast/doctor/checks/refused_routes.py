"""Causes of a refused call in the routes: none to the group, or one that refuses."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from pytest_mcast.doctor.check import Check, Match
from pytest_mcast.doctor.flow import Flow

from .refusals import add_route, caller, covering, covers, ip, link_of, place, said, table

__all__ = ["CHECKS"]

# What a route or rule of this kind answers (net/ipv4/fib_semantics.c, fib_props); a rule says ENETUNREACH.
_REFUSALS = {"prohibit": errno.EACCES, "blackhole": errno.EINVAL, "unreachable": errno.EHOSTUNREACH}
_CODES = (errno.ENODEV, errno.ENETUNREACH, *_REFUSALS.values())


def _missing(flow: Flow) -> Iterator[Match]:
    end = caller(flow, errno.ENODEV, errno.ENETUNREACH)
    if end is None or (flow.errno == errno.ENODEV) != (flow.call == "join"):
        return
    link = link_of(end)
    if link is None or "up" not in link["flags"] or not end.facts.addresses(end.interface, flow.channel.family):
        return  # then that is the cause, and routes are missing because of it
    group, ipv6 = flow.channel.group, flow.channel.family == "ipv6"
    routes = covering(end.facts, flow)
    if ipv6 and any(route["index"] == link["index"] for route in routes):
        return
    if not ipv6 and end.facts.route_to(group).get("error") != "ENETUNREACH":
        return
    if any(route["kind"] in _REFUSALS for route in routes) or any(_rules(flow)):
        return
    where = f" on {end.interface}" if ipv6 else ", and no default route"
    yield Match(
        "certain",
        (said(flow), f"{end.name} has no route to {group}{where}"),
        {
            "group": group,
            "where": f" by {end.interface}" if ipv6 else "",
            "command": add_route(link, "ff00::/8" if ipv6 else "224.0.0.0/4"),
        },
        place(flow),
    )


def _refuses(flow: Flow) -> Iterator[Match]:
    end = caller(flow, *_CODES)
    if end is None or any(_rules(flow)):
        return
    for route in covering(end.facts, flow)[:1]:
        kind = route["kind"]
        if kind in _REFUSALS and flow.errno in (_REFUSALS[kind], errno.ENODEV):
            name = table(route["table"])
            yield Match(
                "certain",
                (said(flow), f"{end.name} has the route {kind} {route['destination']} in table {name}"),
                {
                    "group": flow.channel.group,
                    "route": f"{kind} {route['destination']}",
                    "command": f"{ip(flow)} route del {kind} {route['destination']} table {name}",
                },
                place(flow),
            )


def _rules(flow: Flow) -> Iterator[tuple[str, int, str]]:
    """Return the rules that refuse the group before the main table is asked: action, priority, networks in words."""
    end = caller(flow, *_CODES)
    if end is None:
        return
    for rule in end.facts.rules(flow.channel.family):
        if rule["table"] == 254 and rule["action"] == "lookup":  # RT_TABLE_MAIN
            return
        selects = rule["source"] or rule["iif"] or rule["oif"] or rule.get("mark")
        if rule["action"] in _REFUSALS and not selects and covers(rule["destination"], flow.channel.group):
            yield rule["action"], rule["priority"], rule["destination"] or "all"


def _rule_refuses(flow: Flow) -> Iterator[Match]:
    end = caller(flow, *_CODES)
    if end is None or flow.channel.family == "ipv6":  # groups are in the local table of IPv6, which is asked before
        return
    for action, priority, networks in _rules(flow):
        yield Match(
            "certain",
            (said(flow), f"{end.name} has the rule {priority}: to {networks} {action}"),
            {
                "group": flow.channel.group,
                "rule": f"{action} for {networks}, priority {priority}",
                "command": f"ip rule del priority {priority} {action}",
            },
            place(flow),
        )
        return


#: Checks of the routes that a refused call has asked.
CHECKS: tuple[Check, ...] = (
    Check(
        id="route.missing",
        stage="call",
        condition=_missing,
        sentence="there is no route to {group}{where}, so that the kernel does not know an interface for it",
        cure="add a route to all groups",
        command="{command}",
        reads=("links", "addresses", "routes", "rules", "route_to"),
        reference="ip-route(8); ip(7), IP_ADD_MEMBERSHIP with imr_ifindex 0",
        place="sender",
    ),
    Check(
        id="route.refuses",
        stage="call",
        condition=_refuses,
        sentence="the route {route} refuses {group}",
        cure="delete the route",
        command="{command}",
        reads=("routes", "rules"),
        reference="ip-route(8), types unreachable, blackhole, prohibit",
        place="sender",
    ),
    Check(
        id="rule.refuses",
        stage="call",
        condition=_rule_refuses,
        sentence="a routing rule refuses {group}: {rule}",
        cure="delete the rule",
        command="{command}",
        reads=("rules",),
        reference="ip-rule(8), actions unreachable, blackhole, prohibit",
        place="sender",
    ),
)
