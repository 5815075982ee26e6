"""The owner's name server: what it says is in the zone, and whether it takes an update. Signed, and over TCP alone.

Nothing is sent that changes anything before everything was read, and no answer that could not be read is taken for a
record that is not there. Errors say what was found and what to do; gateway/domains/publishing.py says what to change.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.tsig
from dns.rdtypes.ANY.CNAME import CNAME
from dns.rdtypes.ANY.TSIG import TSIG

from gateway.dns.transport import Nameserver, octets_over_tcp
from gateway.domains.publishing import There, Update
from gateway.domains.update_key import UpdateKey
from gateway.errors import StellwerkError

ANSWER_SECONDS = 15.0

_CHANGED = ("NXRRSET", "YXRRSET", "NXDOMAIN", "YXDOMAIN")
_NOTHING = "nothing of it was changed"

# What the codes mean for an update (RFC 2136 3, RFC 8945 5.2), and what to do.
_READING = {
    "REFUSED": "it does not answer for {name}; name the primary server of the zone, or let this address ask it",
    "NOTAUTH": "it is not the server of {name}; name the primary server of its zone",
    "SERVFAIL": "it cannot answer for {name} at present; look into its log",
    "BADKEY": "it does not know the key {key}; compare name and algorithm with its configuration, where it must be "
    "allowed to update the zone",
    "BADSIG": "it knows a key {key} with another secret; copy the secret again from its configuration",
    "BADTIME": "its clock and the one here are {apart} apart; a signature holds for 5 minutes: set both by NTP",
    "BADTRUNC": "it wants longer signatures than {key} makes; look into its configuration of the key",
}
_UPDATING = {
    **_READING,
    "BADKEY": "it has let the key read, but not change {what}: allow {key} to update this name and type",
    "REFUSED": "it does not let {key} change {what}: allow it to (BIND: update-policy; knot: acl, action update)",
    "NOTAUTH": "it is not the primary server of {zone}, or the zone takes no updates; name the primary server",
    "NOTZONE": "{what} is not in the zone {zone}; is there a zone of its own below it?",
    "NOTIMP": "it takes no dynamic updates (RFC 2136); enter the records by hand: stellwerk domain records",
    "FORMERR": "it did not understand the update; does it take dynamic updates (RFC 2136)?",
    "SERVFAIL": "it could not carry the update out (SERVFAIL); look into its log",
    **dict.fromkeys(
        _CHANGED,
        "somebody has changed {what} since it was read, or a wildcard gave the answer; run the command again, "
        "and look at the difference",
    ),
}


class PublishingError(StellwerkError):
    """The server did not answer, or did not do it. `code` is the response code or TSIG error, where there is one.

    An update that ends without a code may have been done.
    """

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class _Answer:
    message: dns.message.Message
    code: str
    apart: str = ""
    """How far the clocks are apart, where the server says so."""


@dataclass(frozen=True, slots=True)
class UpdateServer:
    """The server at an address that somebody gave us, and the key that it knows."""

    server: Nameserver
    key: UpdateKey
    seconds: float = ANSWER_SECONDS

    async def zone_of(self, domain: str) -> str:
        """The zone that holds `domain`, if it is this server's. Raises `PublishingError`."""
        message = await self._read(domain, "SOA")
        for rrset in (*message.answer, *message.authority):
            owner = _text(rrset.name)
            if rrset.rdtype == dns.rdatatype.SOA and (domain == owner or domain.endswith("." + owner)):
                return owner
            if rrset.rdtype == dns.rdatatype.CNAME:
                raise PublishingError(
                    f"{self.server}: {domain} is an alias (CNAME) of {_text(_target(rrset))}; a domain that receives "
                    "mail needs records of its own: take the CNAME away first"
                )
        raise PublishingError(f"{self.server} does not say of which zone {domain} is a part; is it the primary server?")

    async def look(self, name: str, rdtype: str, zone: str) -> There:
        """The records at this very name; none that a wildcard gives. Raises `PublishingError`."""
        found = await self._records(name, rdtype, zone)
        above = name.partition(".")[2]
        if found.records and name != zone and above:
            general = await self._records(f"*.{above}", rdtype, zone)
            if set(general.records) == set(found.records):
                return There(name, found.type)
        return found

    async def send(self, update: Update, zone: str) -> None:
        """Have it done, and see that it is. Raises `PublishingError`."""
        what = f"{update.there.name} {update.there.type}"
        message = update.message(zone, self.key)
        try:
            answer = await self._exchange(message)
        except TimeoutError:
            raise self._unknown(f"{self.server} did not answer within {self.seconds:g} s", what) from None
        except PublishingError as error:
            raise self._unknown(str(error), what) from None
        if answer.code != "NOERROR":
            raise self._error(_UPDATING, answer, what=what, zone=zone, name=what)
        if not answer.message.had_tsig:
            raise self._unknown(f"{self.server}: the answer is not signed; is this the server?", what)
        if not update.stands_in(await self._records(update.there.name, update.there.type, zone)):
            raise PublishingError(
                f"{self.server} says that the update of {what} is done, and does not show it; look into its log, and "
                f"whether {what} is in a zone of its own, or this server only passes updates on"
            )

    async def _records(self, name: str, rdtype: str, zone: str) -> There:
        message = await self._read(name, rdtype)
        wanted = dns.rdatatype.from_text(rdtype)
        for rrset in message.answer:
            if _text(rrset.name) == name and rrset.rdtype == wanted:
                return There(name, rdtype, tuple(rrset), rrset.ttl)
            if _text(rrset.name) == name and rrset.rdtype == dns.rdatatype.CNAME:
                return There(name, rdtype, alias=_text(_target(rrset)))
        if message.answer:
            raise PublishingError(f"{self.server}: {name} is below an alias (DNAME); nothing can be entered there")
        of = [_text(rrset.name) for rrset in message.authority if rrset.rdtype == dns.rdatatype.SOA]
        if of and of[0] != zone:
            raise PublishingError(f"{self.server}: {name} is in a zone of its own, {of[0]}, not in {zone}")
        return There(name, rdtype)

    async def _read(self, name: str, rdtype: str) -> dns.message.Message:
        """A definite yes or no of the server of the zone; everything else ends the command."""
        query = dns.message.make_query(name, rdtype, flags=0)
        query.use_tsig(self.key.signing())
        try:
            answer = await self._exchange(query)
        except TimeoutError:
            raise PublishingError(
                f"{self.server} did not answer within {self.seconds:g} s; {_NOTHING}: expected a name server there "
                "that takes TCP"
            ) from None
        if answer.code not in ("NOERROR", "NXDOMAIN"):
            raise self._error(_READING, answer, name=name, what=name, zone=name)
        if not answer.message.flags & dns.flags.AA:
            raise PublishingError(
                f"{self.server} is not the server of {name}: what it says is from elsewhere, or the name is delegated; "
                f"{_NOTHING}; name the primary server of the zone"
            )
        return answer.message

    async def _exchange(self, message: dns.message.Message) -> _Answer:
        """Raises `TimeoutError`, `PublishingError`."""
        wire = message.to_wire()
        try:
            async with asyncio.timeout(self.seconds):
                data = await octets_over_tcp(wire, self.server)
        except TimeoutError:
            raise
        except (OSError, EOFError) as error:
            number = error.errno if isinstance(error, OSError) else None
            words = os.strerror(number) if number else "the connection was closed"
            raise PublishingError(
                f"{self.server} does not answer over TCP: {words}; is it the right address?"
            ) from None
        return self._answer(message, data)

    def _answer(self, sent: dns.message.Message, data: bytes) -> _Answer:
        try:
            bare = dns.message.from_wire(data, keyring=False)
            if not sent.is_response(bare):
                raise PublishingError(f"{self.server} answered another question")
            signature = bare.tsig[0] if bare.tsig else None
            if isinstance(signature, TSIG) and signature.error:
                code = dns.rcode.to_text(dns.rcode.Rcode(signature.error), tsig=True)
                return _Answer(bare, code, _apart(sent, signature))
            if signature is not None:
                bare = dns.message.from_wire(data, keyring=self.key.signing(), request_mac=sent.mac)
        except dns.tsig.BadTime:
            raise PublishingError(f"{self.server}: {_READING['BADTIME'].format(apart='more than 5 minutes')}") from None
        except (dns.tsig.BadSignature, dns.tsig.BadKey, dns.tsig.BadAlgorithm):
            raise PublishingError(
                f"{self.server}: the answer's signature is not by {self.key.name}; is this the server?"
            ) from None
        except (dns.exception.DNSException, ValueError):
            raise PublishingError(f"{self.server} sent something that is no DNS answer; is it a name server?") from None
        return _Answer(bare, dns.rcode.to_text(bare.rcode()))

    def _unknown(self, problem: str, what: str) -> PublishingError:
        """An update was sent, and what came back says nothing of it."""
        return PublishingError(
            f"{problem}; whether the update of {what} was done is not known: run the command again, it begins with "
            "what is there"
        )

    def _error(self, texts: dict[str, str], answer: _Answer, **names: str) -> PublishingError:
        """By its code. What it was about, and that nothing came of it, is always said."""
        text = texts.get(answer.code, "that is no answer to expect here; look into its log")
        words = text.format(key=f"{self.key.name} ({self.key.algorithm})", apart=answer.apart or "too far", **names)
        return PublishingError(f"{self.server}: {answer.code} for {names['what']}: {words}; {_NOTHING}", answer.code)


def _apart(sent: dns.message.Message, signature: TSIG) -> str:
    """The server's own time comes with BADTIME (RFC 8945 5.2.3)."""
    ours = sent.tsig[0] if sent.tsig else None
    if len(signature.other) != 6 or not isinstance(ours, TSIG):
        return ""
    return f"{abs(int.from_bytes(signature.other) - int(ours.time_signed))} s"


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


def _target(rrset: dns.rrset.RRset) -> dns.name.Name:
    record = rrset[0]
    assert isinstance(record, CNAME)
    return record.target
