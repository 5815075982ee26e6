"""The recipe `submission`: people log in at Postfix, which checks whose address they use, and then asks the gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from gateway.config import Config
from gateway.postfix_recipes import fitting
from gateway.postfix_recipes.outbound import LOGIN_LIST, TRANSPORT, Outbound, outbound_listener
from gateway.postfix_recipes.recipe import Choice, Footprint, RecipeUnavailable

STANDARD_SUBMISSION = "submission/inet"
_OWN_SENDERS = "stellwerk_own_senders"


@dataclass(frozen=True, slots=True)
class Submission(Outbound):
    """See `Outbound`. `submission` are the services in master.cf that people log in to, with commas between.

    `service` is the entry of master.cf that takes mail from the world, where nobody may pass for these people.
    """

    name = "submission"
    when = "beside after-queue-*: people log in at Postfix (Dovecot SASL or another), and their mail is outbound"
    choices = (
        Choice(
            "submission",
            (STANDARD_SUBMISSION,),
            "The services in master.cf that people log in to, with commas between; "
            '"submissions/inet" or "smtps/inet" with implicit TLS.',
            "recipe",
            is_free=True,
        ),
        Choice(
            "service",
            ("smtp/inet",),
            'The service in master.cf that takes mail from the world; with postscreen it is "smtpd/pass".',
            "recipe",
            is_free=True,
        ),
    )

    submission: str = STANDARD_SUBMISSION
    service: str = "smtp/inet"

    def __post_init__(self) -> None:
        super(Submission, self).__post_init__()
        for service in (*self.services, self.service):
            fitting.require_service(service)
        if self.service in self.services:
            raise RecipeUnavailable(
                f"{self.service} is named as the service for the world and as one that people log in to; they are two"
            )

    @classmethod
    def fitting(cls, config: Config, submission: str = STANDARD_SUBMISSION, service: str = "smtp/inet") -> Self:
        return cls(outbound_listener(config), submission, service)

    @property
    def services(self) -> list[str]:
        return self.submission.split(",")

    @property
    def no_forging(self) -> str:
        """What comes first among the checks of `service`; the parameter is one of our own, in main.cf."""
        return f"permit_mynetworks,permit_sasl_authenticated,${_OWN_SENDERS}"

    @property
    def service_options(self) -> Mapping[str, str]:
        # the list first: while it is there, LOGIN_LIST keeps the others
        checks = {
            "smtpd_sender_login_maps": r"\(texthash:.*/\|socketmap:inet:.*:\)sender-logins",
            "smtpd_sender_restrictions": "reject_sender_login_mismatch",
            "content_filter": f"{TRANSPORT}:.*",
        }
        found = {f"{service}/{name}": value for service in self.services for name, value in checks.items()}
        return {**found, self._at_the_front: f"permit_mynetworks,.*{_OWN_SENDERS}.*"}

    @property
    def _at_the_front(self) -> str:
        return f"{self.service}/smtpd_data_restrictions"

    @property
    def footprint(self) -> Footprint:
        kept = {self._at_the_front: (LOGIN_LIST,), _OWN_SENDERS: (f"/smtpd_data_restrictions = .*{_OWN_SENDERS}",)}
        return super(Submission, self).footprint + Footprint({_OWN_SENDERS: ".*"}, kept_by=kept, requeued=TRANSPORT)
