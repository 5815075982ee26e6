"""domain_check: can the sender's domain take an answer, and the recipient's domain this mail?"""

from __future__ import annotations

from collections.abc import Awaitable

from gateway.api import (
    Address,
    Checked,
    MailDomainAnswer,
    MailParameters,
    Plugin,
    Recipient,
    Registry,
    Reply,
    Session,
    Tag,
    Transaction,
    hookimpl,
    reply,
)
from stellwerk_plugins.domain_check.config import DomainCheckSettings

# What a look-up in a fresh installation is most often wrong about: names that do not exist, or lead nowhere.
_UNKNOWN = frozenset({"no_such_domain", "nothing_usable"})


class DomainCheck(Plugin[DomainCheckSettings]):
    """Asks DNS about domains that are not ours. DNS data goes into tags, never into replies."""

    config_model = DomainCheckSettings
    timeout_seconds = 12.0  # a look-up settles within 8

    @hookimpl
    def register(self, registry: Registry) -> None:
        registry.tag("sender_domain", "accept, reject or defer: what DNS says of the sender's domain")
        registry.tag(
            "sender_domain_cause", "the word for why: mx, implicit_mx, no_such_domain, null_mx, dns_error, ..."
        )
        registry.tag("sender_domain_reason", "what was asked and seen, when the sender's domain was not accepted")
        registry.tag("recipient_domain_reason", "the same for the last recipient whose domain was not accepted")

    @hookimpl
    def smtp_mail(
        self, session: Session, sender: Address | None, size: int | None, params: MailParameters
    ) -> Awaitable[Checked | None] | None:
        if sender is None or not self.config.check_senders or self._is_known(sender):
            return None
        return self._sender(session, sender.domain)

    @hookimpl
    def smtp_rcpt_check(self, transaction: Transaction, recipient: Recipient) -> Awaitable[Checked | None] | None:
        # An inbound listener takes mail for hosted domains only: anything else is refused without asking DNS.
        if not self.config.check_recipients or transaction.session.role == "inbound":
            return None
        return None if self._is_known(recipient.address) else self._recipient(recipient.address.domain)

    def _is_known(self, address: Address) -> bool:
        return self.services.directory.is_local(address) or self.config.skips(address.domain)

    async def _sender(self, session: Session, domain: str) -> Checked:
        answer = await self.services.dns.mail_domain(domain, "sender")
        found: list[Reply | Tag] = [
            Tag("sender_domain", answer.outcome),
            Tag("sender_domain_cause", str(answer.cause)),
        ]
        if answer.reply is None:
            return found
        found.append(Tag("sender_domain_reason", answer.reason))
        # Behind a queue the mail is accepted already, and a 5xx would be a bounce to a possibly forged sender.
        if session.role != "filter":
            found.append(self._sender_reply(answer, answer.reply))
        return found

    def _sender_reply(self, answer: MailDomainAnswer, given: Reply) -> Reply:
        if self.config.unknown_sender_domain == "defer" and answer.cause in _UNKNOWN:
            return reply.SENDER_DOMAIN_TROUBLE.says(given.text)
        return given

    async def _recipient(self, domain: str) -> Checked | None:
        answer = await self.services.dns.mail_domain(domain, "recipient")
        if answer.reply is None:
            return None
        return [Tag("recipient_domain_reason", answer.reason), answer.reply]
