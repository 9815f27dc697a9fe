"""What is broken between the hosts: links, and the ports of switches."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pytest_mcast import LabView
from tests.doctor.scene import Break, Scene

Do = Callable[[Scene], object]
IPROUTE2 = ("bridge", "ip")
_NFT = (*IPROUTE2, "nft")
_BRIDGE_NF = (*_NFT, "sysctl", "/proc/sys/net/bridge")


def both(
    id_: str, check: str, breaks: Do, *, scene: Callable[[LabView, str], Scene] = Scene, **more: object
) -> Iterator[Break]:
    """Yield the same break for both families; unless ``needs`` says otherwise, it takes the programs of iproute2."""
    more = {"needs": IPROUTE2, **more}
    for family in ("ipv4", "ipv6"):
        yield Break(f"{id_}, {family}", check, breaks, scene=_of(scene, family), **more)  # type: ignore[arg-type]


def _of(scene: Callable[[LabView, str], Scene], family: str) -> Callable[[LabView], Scene]:
    return lambda lab: scene(lab, family)


def on_switch(command: str) -> Do:
    """Return what runs a command where the switch is; it may name ``{tx}`` and ``{rx}``, the ports, ``{bridge}``, {group} and {port}."""

    def run(scene: Scene) -> None:
        scene.sh_on_switch(command.format(**names(scene)))

    return run


def on_receiver(command: str) -> Do:
    """Return the same on the host of the receiver."""
    return lambda scene: scene.sh(scene.rx, command.format(**names(scene)))


def names(scene: Scene) -> dict[str, object]:
    """Return what commands on the switch may name."""
    switch = scene.switch
    ports = {"tx": switch.port(scene.tx).device, "rx": switch.port(scene.rx).device}
    layer = "ip" if scene.family == "ipv4" else "ip6"
    return {
        **ports,
        "bridge": f"switch{switch.number}",
        "group": scene.channel.group,
        "port": scene.channel.port,
        "ip": layer,
        "reports": "ip protocol igmp" if scene.family == "ipv4" else "icmpv6 type mld2-listener-report",
    }


def _apart(lab: LabView, family: str) -> Scene:
    scene = Scene(lab, family)
    scene.rx = lab.host("far", interfaces={"eth0": "other"})
    return scene


def _with_relay(lab: LabView, family: str) -> Scene:
    """A host is on both links; that no program there passes datagrams on is nothing that anybody can see."""
    scene = _apart(lab, family)
    lab.host("relay", interfaces={"eth0": scene.switch, "eth1": "other"})
    return scene


def _together(scene: Scene) -> None:
    scene.rx = scene.lab.host("near", interfaces={"eth0": scene.switch})


def _spanning_tree(scene: Scene) -> None:
    on_switch("ip link set dev {bridge} type bridge stp_state 1; ip link set dev {rx} down; ip link set dev {rx} up")(
        scene
    )


def _locked(scene: Scene) -> None:
    on_switch("bridge link set dev {tx} locked on")(scene)
    scene.works()  # as long as the station is known
    on_switch("ip link set dev {tx} type bridge_slave fdb_flush")(scene)


def _large(lab: LabView, family: str) -> Scene:
    return Scene(lab, family, payload_size=1400)


def _fragments(lab: LabView, family: str) -> Scene:
    return Scene(lab, family, payload_size=4000)


def filters(table: str, chain: str, rule: str = "", more: str = "", undo: str = "") -> Do:
    """Return what makes a table with one chain in the switch; ``more`` and ``undo`` are more commands there."""
    add = f"nft add rule {table} c '{rule}';" if rule else ""

    def run(scene: Scene) -> None:
        table_name = table.format(**names(scene))
        scene.at_end.callback(scene.sh_on_switch, f"nft delete table {table_name}; {undo.format(**names(scene))}")
        on_switch(f"nft add table {table}; nft 'add chain {table} c {{{{ {chain} }}}}'; {add} {more}")(scene)

    return run


def routed_filter(*, more: str, undo: str = "") -> Do:
    """Return what drops all routed packets in the switch, and has it take frames for such (br_netfilter)."""
    return filters("{ip} t", f"{_FORWARD} policy drop;", more=more, undo=undo)


_FORWARD = "type filter hook forward priority 0;"
_CALL = "net.bridge.bridge-nf-call-{ip}tables"

BREAKS = (
    *both("two links, no router", "links.apart", lambda _: None, cure=_together, scene=_apart, healthy=False, needs=()),
    Break(
        "two links, a host on both",
        "links.apart",
        lambda _: None,
        cure=_together,
        scene=lambda lab: _with_relay(lab, "ipv4"),
        healthy=False,
        certain=False,
    ),
    *both("switch off", "switch.down", on_switch("ip link set dev {bridge} down")),
    *both("receiver in no bridge", "switch-port.unplugged", on_switch("ip link set dev {rx} nomaster")),
    *both("cable of the receiver pulled", "switch-port.down", lambda scene: scene.switch.down(scene.rx)),
    *both("cable of the sender pulled", "switch-port.down", lambda scene: scene.switch.down(scene.tx)),
    *both("port disabled", "switch-port.not-forwarding", on_switch("bridge link set dev {rx} state 0")),
    Break("port learning", "switch-port.not-forwarding", on_switch("bridge link set dev {tx} state 2")),
    *both("spanning tree", "switch-port.spanning-tree", _spanning_tree),
    *both(
        "isolated ports",
        "switch-port.isolated",
        on_switch("for p in {tx} {rx}; do bridge link set dev $p isolated on; done"),
    ),
    *both("locked port", "switch-port.locked", _locked),
    *both("narrow port of the receiver", "switch-port.mtu", on_switch("ip link set dev {rx} mtu 1280"), scene=_large),
    *both("narrow port of the sender", "switch-port.mtu", on_switch("ip link set dev {tx} mtu 1280"), scene=_fragments),
    *both(
        "rule in the switch",
        "switch.firewall",
        filters("bridge t", _FORWARD, "udp dport {port} counter drop"),
        needs=_NFT,
    ),
    # No multicast needs ARP or neighbour discovery.
    *both("policy of the switch", "switch.firewall", filters("bridge t", f"{_FORWARD} policy drop;"), needs=_NFT),
    *both(
        "firewall for routed packets",
        "switch.bridge-nf",
        routed_filter(more=f"sysctl -w {_CALL}=1", undo=f"sysctl -w {_CALL}=0"),
        needs=_BRIDGE_NF,
    ),
    *both(
        "firewall for routed packets, by the bridge",
        "switch.bridge-nf",
        routed_filter(more="ip link set dev {bridge} type bridge nf_call_{ip}tables 1"),
        needs=_BRIDGE_NF,
    ),
)
