"""Every hook a plugin may implement, in the order a message meets them. This file is the table of contents.

A hook may be a plain or an `async def` method and names only the arguments it wants. The chain is the `plugins` list of
the configuration, one plugin after the other. A hook that raises, hangs or returns something else is handled by the
plugin's `on_error`: `tempfail` answers 451 4.3.0, `skip` goes on as if it had returned None. Never is it a 5xx.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pluggy

from gateway.domains.told import DomainFacts
from gateway.mail.address import Address
from gateway.mail.edits import HeaderEdit
from gateway.mail.envelope import Credentials, Identity, MailParameters, Recipient, Session
from gateway.mail.message import Message, Tag
from gateway.mail.reply import Reply
from gateway.mail.transaction import SeenTransaction as Transaction
from gateway.routing.effects import Done, Job, Record, Retry
from gateway.routing.plan import DeliverStep, DeliveryPlan
from gateway.routing.route import Route

if TYPE_CHECKING:
    from gateway.hooks.registry import Accept, Registry

PROJECT = "stellwerk"
hookspec = pluggy.HookspecMarker(PROJECT)

Checked = Reply | Tag | Iterable[Reply | Tag]
"""A Reply, tags, or both in one list: the tags of a refusal tell the trace more than its text tells the client."""
Effect = HeaderEdit | Record | Job | Tag


@hookspec
def register(registry: Registry) -> None:
    """Declare tags, job kinds, tables, migrations, checks and notes. Runs once, before anything else; may not do I/O.

    A failure refuses to start.
    """


@hookspec
def gateway_startup(gateway: Any) -> None:
    """The process is about to take work. Runs in list order; a failure refuses to start."""


@hookspec
def gateway_shutdown(gateway: Any) -> None:
    """The process ends. Runs in reverse order; a failure is logged."""


@hookspec
def smtp_connect(session: Session) -> Checked | None:
    """A client has connected; nothing was said yet. A Reply refuses the connection instead of the greeting.

    The first rejection ends the chain. On `filter` listeners the client is the trusted mail server.
    """


@hookspec
def smtp_auth(session: Session, credentials: Credentials) -> Identity | Reply | None:
    """AUTH on a submission listener: whose credentials are these? The first answer counts; the directory is asked last.

    An Identity lets its person in, who must be an active person of the directory; a Reply refuses. Nobody: 535 5.7.8.
    A failure is 454 4.7.0.
    """


@hookspec
def smtp_mail(session: Session, sender: Address | None, size: int | None, params: MailParameters) -> Checked | None:
    """MAIL FROM. `sender` is None for the null sender, `size` the announced octets or None.

    The first rejection ends the chain. On `filter` listeners the mail is accepted already and a 5xx becomes a bounce to
    a possibly forged sender: return tags there instead.
    """


@hookspec
def smtp_rcpt_check(transaction: Transaction, recipient: Recipient) -> Checked | None:
    """RCPT TO: may this recipient be refused? Runs before anybody claims the recipient; the first rejection ends it."""


@hookspec
def smtp_rcpt_claim(transaction: Transaction, recipient: Recipient) -> Accept | Reply | None:
    """RCPT TO: is this recipient yours? The first answer counts; the core's own mailboxes are asked last.

    A recipient that nobody claims is refused with 550 5.7.1.
    """


@hookspec
def message_received(message: Message) -> Checked | None:
    """The message is complete. A Reply (4xx or 5xx) refuses it for all recipients; the first one ends the chain.

    `message.tags` has those of the plugins in front already.
    """


@hookspec
def route_recipient(message: Message, recipient: Address) -> Route | None:
    """Where does this recipient's copy go? None passes the question on; where nobody answers, the core delivers.

    In one line of descent an address is offered to each plugin at most once. Targets of a Redirect start at the top of
    the chain, a kept original goes on behind the plugin that kept it.
    """


@hookspec
def message_annotate(message: Message, plan: DeliveryPlan) -> Iterable[Effect] | None:
    """The final recipients are known. Return header edits, records, jobs and tags; all plugins' effects add up."""


@hookspec
def plan_review(message: Message, plan: DeliveryPlan) -> DeliveryPlan | Reply | None:
    """The last look at the whole plan. A DeliveryPlan takes its place, a Reply refuses the message. Piped."""


@hookspec
def delivery_succeeded(message: Message, step: DeliverStep, reply: Reply) -> None:
    """A next hop took a copy. Runs after the client was answered and cannot change the outcome; failures are logged."""


@hookspec
def delivery_deferred(message: Message, step: DeliverStep, reply: Reply) -> None:
    """A copy could not be handed on now; the sender keeps the message. As `delivery_succeeded`."""


@hookspec
def delivery_failed(message: Message, step: DeliverStep, reply: Reply) -> None:
    """A next hop refused a copy for good. As `delivery_succeeded`."""


@hookspec
def run_job(job: Job) -> Done | Retry | None:
    """Do one of your own jobs from the durable outbox, in the desk process. May run more than once for one job.

    None is Done. A failure is retried with growing pauses, then kept as a dead letter.
    """


@hookspec
def domain_state_changed(old: str, new: str, facts: DomainFacts) -> None:
    """The state of a domain has changed, whoever changed it. Told in the desk process, once or more often.

    `old` is empty for a domain that is new. Nothing can be changed here; failures are logged.
    """
