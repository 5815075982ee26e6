"""forwarding: sends mail of hosted recipients to other addresses, keeps, drops, refuses or tags it, by rules."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from gateway.api import MAX_TEXT_OCTETS, Address, Message, Plugin, Registry, Route, Services, Tag, hookimpl
from stellwerk_plugins.forwarding.config import ForwardingSettings
from stellwerk_plugins.forwarding.deciding import Decision, Ruleset
from stellwerk_plugins.forwarding.matching import Facts
from stellwerk_plugins.forwarding.rules import UNDECIDED, TagAction


class Forwarding(Plugin[ForwardingSettings]):
    """Answers for hosted recipients only: mail for others passes untouched, so that no rule makes an open relay."""

    config_model = ForwardingSettings

    def __init__(self, config: ForwardingSettings, services: Services) -> None:
        super().__init__(config, services)
        self._rules = Ruleset(config.rule)
        self._known: WeakKeyDictionary[Message, dict[object, bool | None]] = WeakKeyDictionary()

    @hookimpl
    def register(self, registry: Registry) -> None:
        registry.tag(UNDECIDED, "rules that were left out, since they ask for more of a header than is looked at")
        for name in dict.fromkeys(rule.then.name for rule in self.config.rule if isinstance(rule.then, TagAction)):
            registry.tag(name, "set by a rule")
        registry.check("targets", self._missing_mailboxes)
        for address, path, what in self.config.addresses():
            registry.address(Address.parse(address), path, what)
        if outside := self._outside():
            registry.note(
                f"mail is forwarded to the outside ({', '.join(outside)}) with its sender as it is: receivers that "
                "check SPF may refuse it where no DKIM signature holds; it needs routing.outbound"
            )

    @hookimpl
    def message_received(self, message: Message) -> list[Tag] | None:
        if not self._rules.has_tags and len(message.body.header_block) <= MAX_TEXT_OCTETS:
            return None
        tags: dict[str, Tag] = {}
        undecided: dict[str, None] = {}
        for recipient in message.envelope.recipients:
            if self._is_ours(recipient.address):
                decision = self._decision(message, recipient.address)
                tags |= decision.tags
                undecided |= dict.fromkeys(rule.id for rule in decision.undecided)
        return [*tags.values(), *([Tag(UNDECIDED, ", ".join(undecided))] if undecided else [])]

    @hookimpl
    def route_recipient(self, message: Message, recipient: Address) -> Route | None:
        return self._decision(message, recipient).route() if self._is_ours(recipient) else None

    def _decision(self, message: Message, recipient: Address) -> Decision:
        return self._rules.decide(Facts(message, recipient, self._known.setdefault(message, {})))

    def _is_ours(self, address: Address) -> bool:
        return self.services.directory.is_local(address)

    def _outside(self) -> list[str]:
        """The addresses of rules that are not hosted here."""
        return list(
            dict.fromkeys(target for _, target in self.config.targets() if not self._is_ours(Address.parse(target)))
        )

    async def _missing_mailboxes(self) -> str | None:
        directory = self.services.directory
        missing = [
            f'rule "{rule.id}" forwards to {target}, which is no mailbox here'
            for rule, target in self.config.targets()
            if directory.hosts(Address.parse(target).domain) and not await directory.has_mailbox(Address.parse(target))
        ]
        return f"{'; '.join(missing)}; add the mailbox or change the rule" if missing else None
