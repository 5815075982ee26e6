"""MTA-STS (RFC 8461): whether the policy of a domain is found, and lets mail reach the hosts that its MX names."""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import dns.name
from dns.rdtypes.ANY.MX import MX

from gateway.dns.answers import Found, Unknown, name_text
from gateway.domains.checks.hostile import as_text
from gateway.domains.checks.look import Look, addresses_in, quoted, txt_values
from gateway.domains.checks.policy_fetch import Fetched, fetch
from gateway.domains.checks.reasons import Reason
from gateway.domains.checks.result import Result, Status
from gateway.domains.probing import Probe

CHECK = "mta_sts"
PATH = "/.well-known/mta-sts.txt"
ONE_DAY = 86_400
MAX_AGE = 31_557_600  # 3.2
MODES = ("enforce", "testing", "none")

_VERSION = re.compile(r"v=STSv1\s*(?:;|\Z)")
_ID = re.compile(r"[A-Za-z0-9]{1,32}\Z")
_MX_PATTERN = re.compile(r"(?:\*\.)?[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\Z")


class PolicyError(ValueError):
    """The policy file breaks the rules of RFC 8461 3.2."""


@dataclass(frozen=True, slots=True)
class StsPolicy:
    mode: str
    max_age: int
    mx: tuple[str, ...]

    def covers(self, host: str) -> bool:
        """`*.` stands for exactly one label (RFC 8461 4.1)."""
        host = host.lower()
        return any(
            host.partition(".")[2] == each[2:] if each.startswith("*.") else host == each
            for each in map(str.lower, self.mx)
        )


@cache
def _system_trust() -> ssl.SSLContext:
    return ssl.create_default_context()


@dataclass(frozen=True, slots=True)
class StsFetching:
    """How policies are fetched: `context` trusts the authorities of the system unless a test brings its own."""

    port: int = 443
    context: ssl.SSLContext = field(default_factory=_system_trust)


@dataclass(frozen=True, slots=True)
class StsBefore:
    """The facts `id` and `policy_digest` of the check before: nobody fetches a policy that changed under its id."""

    id: str
    policy_digest: str


async def check_mta_sts(
    domain: str, probe: Probe, *, fetching: StsFetching | None = None, before: StsBefore | None = None
) -> Result:
    """Record, policy file and MX of `domain` beside each other. The facts `id` and `policy_digest` make the next
    `before`."""
    return await _StsCheck(domain, fetching or StsFetching(), before, Look(CHECK, probe)).run()


class _StsCheck:
    def __init__(self, domain: str, fetching: StsFetching, before: StsBefore | None, look: Look) -> None:
        self.domain = domain
        self.fetching = fetching
        self.before = before
        self.look = look
        self.host = f"mta-sts.{domain}"
        self.facts = {"domain": domain, "name": f"_mta-sts.{domain}", "url": f"https://{self.host}{PATH}"}

    async def run(self) -> Result:
        answer = await self.look.ask(self.facts["name"], "TXT")
        if isinstance(answer, Unknown):
            return self.look.unknown(answer, domain=self.domain)
        values = [value for value in txt_values(answer) if _VERSION.match(value)]
        self.facts["found"] = quoted(values or txt_values(answer))
        if len(values) > 1:
            return self.end("fail", "sts_multiple")
        if not values:
            if any("stsv1" in value.lower() for value in txt_values(answer)):
                return self.end("fail", "sts_syntax", detail="v=STSv1 must stand first, in exactly these letters")
            return await self.without_record()
        fault, record_id = _read_record(values[0])
        if fault:
            return self.end("fail", "sts_syntax", detail=fault)
        self.facts["id"] = record_id
        return await self.judge(await self.fetch_policy())

    async def without_record(self) -> Result:
        fetched = await self.fetch_policy()
        served = isinstance(fetched, Fetched) and fetched.status == 200
        return self.end("warn", "sts_missing", variant="served" if served else "")

    async def fetch_policy(self) -> Fetched | Unknown | None:
        """The answer of the web server; None when its name leads to no address that may be asked."""
        answers = await asyncio.gather(self.look.ask(self.host, "A"), self.look.ask(self.host, "AAAA"))
        addresses = [address for answer in answers for address in addresses_in(answer)]
        allowed = [address for address in addresses if self.look.probe.probing.may_ask(address)]
        if not allowed:
            return next((answer for answer in answers if isinstance(answer, Unknown)), None)
        return await fetch(self.host, allowed[0], PATH, self.fetching.context, port=self.fetching.port)

    async def judge(self, fetched: Fetched | Unknown | None) -> Result:
        if isinstance(fetched, Unknown):
            return self.look.unknown(fetched, **self.facts)
        if fetched is None:
            return self.end("fail", "sts_fetch", detail=f"{self.host} has no address that can be reached from outside")
        if fetched.trouble == "certificate":
            return self.end("fail", "sts_certificate", detail=fetched.words)
        if fetched.trouble in ("timeout", "unreachable"):
            return self.end("temp", "sts_fetch_temporary", detail=fetched.words)
        if fetched.trouble:
            return self.end("fail", "sts_fetch", detail=fetched.words)
        if 300 <= fetched.status < 400:
            return self.end("fail", "sts_redirect", detail=f"HTTP {fetched.status}")
        if fetched.status >= 500:
            return self.end("temp", "sts_fetch_temporary", detail=f"HTTP {fetched.status}")
        if fetched.status != 200:
            return self.end("fail", "sts_fetch", detail=f"HTTP {fetched.status}")
        text = as_text(fetched.body)
        self.facts["policy_digest"] = policy_digest(text)
        try:
            policy = read_policy(text)
        except PolicyError as error:
            return self.end("fail", "sts_policy_syntax", detail=str(error))
        return await self.compare(policy)

    async def compare(self, policy: StsPolicy) -> Result:
        if policy.mode == "none":
            return self.end("warn", "sts_none")
        answer = await self.look.ask(self.domain, "MX")
        if isinstance(answer, Unknown):
            return self.look.unknown(answer, **self.facts)
        hosts = _hosts(answer.of(MX)) if isinstance(answer, Found) else []
        lacking = [host for host in hosts if not policy.covers(host)]
        if lacking:
            return self.end(
                "fail" if policy.mode == "enforce" else "warn", "sts_mx_mismatch", lacking=quoted(lacking),
                days=str(policy.max_age // ONE_DAY), mode=policy.mode,
            )  # fmt: skip
        before = self.before
        same_id = before is not None and before.id == self.facts["id"]
        if same_id and before is not None and before.policy_digest != self.facts["policy_digest"]:
            return self.end("warn", "sts_id_stale")
        if policy.mode == "testing":
            return self.end("warn", "sts_testing")
        if policy.max_age < ONE_DAY:
            return self.end("warn", "sts_short_max_age", seconds=str(policy.max_age))
        return self.end("pass", "ok")

    def end(self, status: Status, reason: Reason, **facts: str) -> Result:
        return self.look.result(status, reason, **self.facts, **facts)


def read_policy(text: str) -> StsPolicy:
    """The policy file (RFC 8461 3.2); lines end in LF or CRLF, unknown keys are ignored. Raises `PolicyError`."""
    values: dict[str, str] = {}
    patterns: list[str] = []
    for line in _lines(text):
        key, colon, value = line.partition(":")
        key, value = key.strip(), value.strip()
        if not colon:
            raise PolicyError(f"'{line[:60]}' is no line of a policy: it has no colon")
        if key == "mx":
            if not _MX_PATTERN.match(value):
                raise PolicyError(f"'mx: {value[:60]}' names no host")
            patterns.append(value)
        else:
            values.setdefault(key, value)
    if values.get("version") != "STSv1":
        raise PolicyError("'version: STSv1' is missing")
    if values.get("mode") not in MODES:
        raise PolicyError(f"'mode' must be one of {', '.join(MODES)}")
    age = values.get("max_age", "")
    if not (age.isascii() and age.isdecimal()) or len(age) > 10 or int(age) > MAX_AGE:
        raise PolicyError(f"'max_age' must be a number of seconds up to {MAX_AGE}")
    if not patterns and values["mode"] != "none":
        raise PolicyError("no 'mx' line names a host")
    return StsPolicy(values["mode"], int(age), tuple(patterns))


def policy_digest(text: str) -> str:
    """Of what a policy says, whatever its line ends are."""
    return hashlib.sha256("\n".join(_lines(text)).encode()).hexdigest()


def _read_record(value: str) -> tuple[str, str]:
    """What is wrong with a record, in words, and its id (RFC 8461 3.1)."""
    fields = [part.strip() for part in value.split(";")[1:] if part.strip()]
    ids = [part[3:].strip() for part in fields if part.startswith("id=")]
    if not ids:
        return "id= is missing", ""
    if len(ids) > 1 or not _ID.match(ids[0]):
        return "id= must be 1 to 32 letters and digits", ""
    return "", ids[0]


def _hosts(records: Sequence[MX]) -> list[str]:
    return [name_text(record.exchange) for record in records if record.exchange != dns.name.root]


def _lines(text: str) -> list[str]:
    return [line.rstrip("\r") for line in text.split("\n") if line.strip()]
