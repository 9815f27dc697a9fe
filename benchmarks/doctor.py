"""What the doctor costs a test that passes, and one that fails, beside the receiver and the sender of a test."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from pytest_mcast import Channel, Lab, NotReceived, VirtualHost
from pytest_mcast.doctor import Observation, Party, diagnose
from pytest_mcast.doctor.party import facts_of

from .harness import Skip, Times, benchmark, interleave
from .places import need_namespaces

BESIDE = "a receiver and a sender there, one datagram, and close"


@contextmanager
def _two_hosts() -> Iterator[tuple[VirtualHost, VirtualHost, Channel]]:
    need_namespaces()
    with Lab() as lab:
        rx, tx = lab.hosts(2)
        yield rx, tx, lab.channel()


def _exchange(rx: VirtualHost, tx: VirtualHost, channel: Channel) -> Callable[[], None]:
    def exchange() -> None:
        with rx.receiver(channel) as receiver, tx.sender(receiver.channel) as sender:
            sender.send(b"hello")
            receiver.recv()

    return exchange


@benchmark(
    "Doctor, what each test pays: counters of two virtual hosts with {}",
    beside=BESIDE,
    each=("few sockets", "1,000 sockets"),
)
def doctor_mark(sockets: str) -> Times:
    with _two_hosts() as (rx, tx, channel), ExitStack() as stack:
        if sockets == "1,000 sockets":
            with rx.inside():
                for _ in range(1000):
                    try:
                        stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("127.0.0.1", 0))
                    except OSError as error:
                        raise Skip(str(error)) from None
        observation = stack.enter_context(Observation(rx, tx))
        return interleave(observation.mark, _exchange(rx, tx, channel))


@benchmark("Doctor: snapshot of a virtual host", beside=BESIDE)
def doctor_snapshot() -> Times:
    with _two_hosts() as (rx, tx, channel):
        return interleave(lambda: facts_of(rx, [channel.group]), _exchange(rx, tx, channel))


@benchmark("Doctor: diagnosis of a datagram lost between two virtual hosts, in words", beside=BESIDE)
def doctor_diagnosis() -> Times:
    with (
        _two_hosts() as (rx, tx, channel),
        Observation(rx, tx) as observation,
        rx.receiver(channel) as receiver,
        tx.sender(receiver.channel) as sender,
    ):
        receiver.subscription.leave()
        sender.send(b"lost")
        with suppress(NotReceived):
            receiver.recv(0.0)
        origin, destination = Party(tx, [sender.socket]), Party(rx, [receiver.subscription.socket])

        def explain() -> None:
            flow = observation.flow(receiver.channel, sender=origin, receiver=destination, call="receive")
            assert diagnose(flow).lines()

        return interleave(explain, _exchange(rx, tx, channel))
