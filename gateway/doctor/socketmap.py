"""What `stellwerk doctor` learns by asking the running gateway what Postfix asks it. It blocks: it is for a thread."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.addresses import is_loopback
from gateway.config.models import SOCKETMAP, Config
from gateway.doctor.asking import connected, listens_at
from gateway.doctor.findings import Found, failed, ok, warning
from gateway.postfix_maps.answers import MAPS
from gateway.postfix_maps.netstring import netstring

_MOST_BYTES = 4096
_NOBODY = {"recipients": "nobody@stellwerk.invalid", "domains": "stellwerk.invalid",
           "sender-logins": "nobody@stellwerk.invalid"}  # fmt: skip


def socketmap_findings(config: Config) -> list[Found]:
    """Whether every map is answered; nothing when there is no socketmap, or no gateway runs."""
    return list(_findings(config))


def _findings(config: Config) -> Iterator[Found]:
    configured = config.socketmap.address
    if not configured:
        return
    if not is_loopback(configured):
        yield warning(
            f"socketmap.address {configured} can be reached from other hosts, and whoever asks learns who exists; set "
            "a loopback address, or let a firewall admit Postfix only"
        )
    address = listens_at(config, SOCKETMAP, configured)
    if not address:
        return
    try:
        answers = {name: _ask(address, f"{name} {_NOBODY[name]}") for name in MAPS}
    except OSError as error:
        yield failed(f"the socketmap at {address} does not answer ({error}) though the gateway runs; look at its log")
        return
    for name, answer in answers.items():
        if not answer.startswith("NOTFOUND "):
            yield failed(
                f'the socketmap at {address} says "{answer}" of {name}: Postfix defers mail; look at the store'
            )
    if all(answer.startswith("NOTFOUND ") for answer in answers.values()):
        yield ok(f"the socketmap at {address} answers Postfix")


def _ask(address: str, question: str) -> str:
    """Raises `OSError`, for an answer that is none, too."""
    with connected(address) as asking:
        asking.sendall(netstring(question.encode()))
        answer = b""
        while not answer.endswith(b","):
            piece = asking.recv(_MOST_BYTES)
            if not piece or len(answer) > _MOST_BYTES:
                raise OSError("it does not speak socketmap")
            answer += piece
    return answer.partition(b":")[2][:-1].decode("utf-8", "replace")
