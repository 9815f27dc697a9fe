"""GStreamer sends RTP over a multicast router, and receives it there; every packet is counted on its way."""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass

import pytest

from pytest_mcast.lab import Exactly

PACKETS, SAMPLES, TYPE = 100, 160, 0  # 20 ms of mu-law each (PCMU, RFC 3551 section 4.5.14)
CAPS = "application/x-rtp,media=audio,clock-rate=8000,encoding-name=PCMU,payload=0"
SCOPES = {"ipv4": "organization-local", "ipv6": "site-local"}  # those that are forwarded

both_families = pytest.mark.parametrize("family", SCOPES)


@dataclass(frozen=True)
class Rtp:
    """A packet of RFC 3550 section 5.1, without CSRC, padding and extension."""

    kind: int
    number: int
    timestamp: int
    ssrc: int
    payload: bytes

    def __bytes__(self):
        return struct.pack("!BBHII", 0x80, self.kind, self.number, self.timestamp, self.ssrc) + self.payload

    @classmethod
    def parse(cls, data):
        first, second, number, timestamp, ssrc = struct.unpack_from("!BBHII", data)
        assert first == 0x80, f"not version 2, or with what this does not read: {data[:12].hex()}"
        return cls(second & 0x7F, number, timestamp, ssrc, data[12:])


class Network:
    """tx - left - router - right, a switch that snoops - rx and idle."""

    def __init__(self, lab, family, mode="asm"):
        self.left, self.right = lab.link("left"), lab.switch("right", snooping=True)
        self.tx = lab.host("tx", interfaces={"eth0": self.left})
        self.router = lab.router("router", interfaces={"eth0": self.left, "eth1": self.right})
        self.rx, self.idle = (lab.host(name, interfaces={"eth0": self.right}) for name in ("rx", "idle"))
        self.source = self.tx.source(family, SCOPES[family])
        self.channel = lab.channel(
            family, source=self.tx if mode == "ssm" else None, scope=None if family == "ipv4" else SCOPES[family]
        )
        self.router.route(self.channel.group, "eth0", ["eth1"], source=self.source)

    def forwarded(self):
        return self.router.counters(self.channel.group, source=self.source).packets


@pytest.fixture
def gstreamer(program, tmp_path_factory, monkeypatch):
    """Function that starts a pipeline in a host."""
    launch = program("gst-launch-1.0", "gstreamer1.0-tools gstreamer1.0-plugins-good")
    # Its list of plugins, which it makes when there is none, is not for the home directory.
    monkeypatch.setenv("GST_REGISTRY_1_0", str(tmp_path_factory.getbasetemp() / "gstreamer-registry"))
    return lambda host, pipeline: host.popen([launch, *pipeline.split()])


def send(gstreamer, host, channel, *options):
    """Have GStreamer send all packets, as fast as it can, and wait for its end."""
    sink = f"udpsink host={channel.group} port={channel.port} multicast-iface=eth0 sync=false {' '.join(options)}"
    ptime = f"min-ptime={SAMPLES * 125000} max-ptime={SAMPLES * 125000}"  # ns
    source = f"audiotestsrc num-buffers={PACKETS} samplesperbuffer={SAMPLES} ! audio/x-raw,rate=8000,channels=1"
    assert gstreamer(host, f"{source} ! mulawenc ! rtppcmupay {ptime} ! {sink}").wait() == 0


def gaps(packets):
    """Return how many packets are missing after which; numbers have 16 bits."""
    steps = ((after.number - before.number) & 0xFFFF for before, after in itertools.pairwise(packets))
    return {position: step - 1 for position, step in enumerate(steps, 1) if step != 1}


@pytest.mark.parametrize("mode", ["asm", "ssm"])
@both_families
def test_what_it_sends_is_received_behind_a_router(mcast_lab, gstreamer, family, mode):
    net = Network(mcast_lab, family, mode)
    receiver = net.rx.receiver(net.channel)
    with net.left.count(net.channel) as left, net.right.count(net.channel) as right:
        send(gstreamer, net.tx, net.channel, "ttl-mc=2")
        packets = [Rtp.parse(datagram.payload) for datagram in receiver.expect(PACKETS)]
        assert receiver.receive() is None
        assert gaps(packets) == {}
        assert {(packet.kind, packet.ssrc) for packet in packets} == {(TYPE, packets[0].ssrc)}
        assert {len(packet.payload) for packet in packets} == {SAMPLES}
        elapsed = (packets[-1].timestamp - packets[0].timestamp) & 0xFFFFFFFF
        assert elapsed == (PACKETS - 1) * SAMPLES
        # As many on each cable, and none to who has not joined.
        assert left.received(net.left.port(net.tx)) == PACKETS
        assert net.forwarded() == right.received(net.right.port(net.router)) == PACKETS
        assert right.sent(net.right.port(net.rx)) == PACKETS
        assert right.sent(net.right.port(net.idle)) == 0


def test_its_default_ttl_stays_on_the_link(mcast_lab, gstreamer):
    net = Network(mcast_lab, "ipv4")
    receiver = net.rx.receiver(net.channel)
    with net.left.count(net.channel) as left, net.right.count(net.channel) as right:
        send(gstreamer, net.tx, net.channel)
        assert left.sent(net.left.port(net.router)) == PACKETS
        assert right.received(net.right.port(net.router)) == 0
    net.tx.sender(net.channel, ttl=2).send(b"this goes on")
    assert receiver.recv().payload == b"this goes on"  # and so nothing came before


def test_what_a_bad_cable_loses_is_missing_in_the_stream(mcast_lab, gstreamer):
    net = Network(mcast_lab, "ipv4")
    with net.right.impair(net.rx, loss=Exactly(3, 40, 41)) as cable:
        receiver = net.rx.receiver(net.channel)
        send(gstreamer, net.tx, net.channel, "ttl-mc=2")
        packets = [Rtp.parse(datagram.payload) for datagram in receiver.expect(PACKETS - 3)]
        assert gaps(packets) == {2: 1, 38: 2}
        assert cable.to_host.lost == [3, 40, 41]


@both_families
def test_it_receives_behind_a_router_what_we_send(mcast_lab, gstreamer, tmp_path, family):
    net = Network(mcast_lab, family)
    sound = bytes(number % 256 for number in range(PACKETS * SAMPLES))
    pipeline = f"udpsrc address={net.channel.group} port={net.channel.port} multicast-iface=eth0 num-buffers={PACKETS}"
    player = gstreamer(net.rx, f"{pipeline} caps={CAPS} ! rtppcmudepay ! filesink location={tmp_path / 'sound'}")
    net.right.wait_for_entry(net.channel, net.rx)  # it has joined, and the switch knows
    sender = net.tx.sender(net.channel, ttl=2, source=net.source)
    for number in range(PACKETS):
        at = number * SAMPLES
        sender.send(bytes(Rtp(TYPE, number, at, 0xC0FFEE, sound[at : at + SAMPLES])))
    assert player.wait() == 0, player.transcript()
    assert (tmp_path / "sound").read_bytes() == sound
    assert net.forwarded() == PACKETS
