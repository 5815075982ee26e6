"""The same maps as answers.py as a whole, for files that Postfix reads. Nothing is written here."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.config.models import Config, HostedConfig
from gateway.directory.cache import Reads
from gateway.directory.senders import all_recipients, all_sender_logins
from gateway.directory.service import DirectoryService
from gateway.directory.static import POSTMASTER
from gateway.mail.address import Address
from gateway.postfix_maps.answers import MapName, maildir_of

EVERYBODY = "*"
_CATCH_ALL = "catch-all"
"""The Maildir of the one entry that stands for every local part of a domain."""

Entries = dict[str, str]


async def list_maps(config: Config, directory: DirectoryService, store: Reads | None) -> dict[MapName, Entries]:
    """Key and value of every entry. `store` None: the configuration is all there is. Raises `StoreUnavailable`."""
    hosted = directory.hosted()
    recipients = dict(_static(config.hosted, config.server.hostname))
    logins: Entries = {}
    for domain in hosted - directory.static_domains:
        postmaster = Address(POSTMASTER, domain)
        recipients[postmaster.key] = maildir_of(postmaster)
    if store is not None:
        wanted = hosted - directory.static_domains
        async for row in all_recipients(store):
            if row.domain not in wanted:
                continue
            address = Address.parse(row.key)
            mailbox = None if row.plain else await directory.mailbox(address)
            if row.plain or (mailbox is not None and mailbox.takes_mail):
                recipients[row.key] = maildir_of(Address.parse(row.mailbox))
            else:
                recipients.pop(row.key, None)
        logins = {key: ",".join(names) async for key, names in all_sender_logins(store)}
    return {
        "recipients": dict(sorted(recipients.items())),
        "domains": {domain: domain for domain in sorted(hosted)},
        "sender-logins": logins,
    }


def _static(hosted: Mapping[str, HostedConfig], hostname: str) -> Entries:
    found: Entries = {}
    for domain, entry in hosted.items():
        boxes = {POSTMASTER, *(box.lower() for box in entry.mailboxes)} - {EVERYBODY}
        found |= {f"{box}@{domain}": maildir_of(Address(box, domain)) for box in boxes}
        if EVERYBODY in entry.mailboxes:
            found[f"@{domain}"] = maildir_of(Address(_CATCH_ALL, domain))
    postmaster = Address(POSTMASTER, hostname)
    return {postmaster.key: maildir_of(postmaster), **found}
