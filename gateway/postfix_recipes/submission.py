"""The recipe `submission`: people log in at Postfix, which checks whose address they use, and then asks the gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from gateway.config import Config
from gateway.postfix_recipes import fitting
from gateway.postfix_recipes.outbound import Outbound, outbound_listener
from gateway.postfix_recipes.recipe import Choice

STANDARD_SUBMISSION = "submission/inet"


@dataclass(frozen=True, slots=True)
class Submission(Outbound):
    """See `Outbound`. `submission` is the service in master.cf that people log in to."""

    name = "submission"
    when = "beside after-queue-*: people log in at Postfix (Dovecot SASL or another), and their mail is outbound"
    choices = (
        Choice(
            "submission",
            (STANDARD_SUBMISSION,),
            'The service in master.cf that people log in to; "submissions/inet" or "smtps/inet" with implicit TLS.',
            "recipe",
            is_free=True,
        ),
    )

    submission: str = STANDARD_SUBMISSION

    def __post_init__(self) -> None:
        super(Submission, self).__post_init__()
        fitting.require_service(self.submission)

    @classmethod
    def fitting(cls, config: Config, submission: str = STANDARD_SUBMISSION) -> Self:
        return cls(outbound_listener(config), submission)

    @property
    def service_options(self) -> Mapping[str, str]:
        return {
            f"{self.submission}/content_filter": "stellwerk-out:.*",
            f"{self.submission}/smtpd_sender_login_maps": r"\(texthash:.*/\|socketmap:inet:.*:\)sender-logins",
            f"{self.submission}/smtpd_sender_restrictions": "reject_sender_login_mismatch",
        }
