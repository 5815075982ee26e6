"""The recipe `outbound-apart`: mail that services for one's own people take in goes to a listener of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from gateway.config import Config
from gateway.postfix_recipes.outbound import LOGIN_LIST, TRANSPORT, Outbound, outbound_listener
from gateway.postfix_recipes.recipe import Choice, Footprint, RecipeUnavailable

STANDARD_SENDERS = "submission/inet,submissions/inet,smtps/inet,pickup/unix"


@dataclass(frozen=True, slots=True)
class OutboundApart(Outbound):
    """See `Outbound`. `senders` are the services in master.cf whose mail is outbound, with commas between."""

    name = "outbound-apart"
    when = (
        "beside after-queue-*: mail of your own people to a listener of its own, so that nobody outside passes for them"
    )
    choices = (
        Choice(
            "senders",
            (STANDARD_SENDERS,),
            "The services in master.cf that take mail from your own people only, with commas between.",
            "recipe",
            is_free=True,
        ),
    )

    senders: str = STANDARD_SENDERS

    def __post_init__(self) -> None:
        super(OutboundApart, self).__post_init__()
        for service in self.services:
            if not re.fullmatch(r"[\w.:\[\]-]+/(?:inet|pass|unix|fifo)", service):
                raise RecipeUnavailable(
                    f'found the service "{service}"; expected names of `postconf -M`, as in {STANDARD_SENDERS}'
                )

    @classmethod
    def fitting(cls, config: Config, senders: str = STANDARD_SENDERS) -> Self:
        return cls(outbound_listener(config), senders)

    @property
    def services(self) -> list[str]:
        return self.senders.split(",")

    @property
    def service_options(self) -> Mapping[str, str]:
        return {self._option(service): f"{TRANSPORT}:.*" for service in self.services}

    @property
    def footprint(self) -> Footprint:
        smtpd = [one for one in self.services if one.endswith(("/inet", "/pass"))]
        by_submission = {self._option(one): (f"^{one}{LOGIN_LIST}".replace("[", r"\["),) for one in smtpd}
        return super(OutboundApart, self).footprint + Footprint(kept_by=by_submission, requeued=TRANSPORT)

    @staticmethod
    def _option(service: str) -> str:
        return f"{service}/content_filter"
