"""What listens beside the listeners must not get into their way, or each other's."""

from __future__ import annotations

import pytest

from gateway.config import read
from gateway.errors import ConfigError

CONFIG = """\
[[listener]]
name = "{name}"
address = "127.0.0.1:2525"
[next_hop.mail]
kind = "maildir"
path = "mail/{{domain}}/{{local}}"
[web]
address = "{web}"
[socketmap]
address = "{socketmap}"
"""


def config(name: str = "mx", web: str = "", socketmap: str = "") -> str:
    return CONFIG.format(name=name, web=web, socketmap=socketmap)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (config(web="127.0.0.1:2525"), 'listener "mx" has the address 127.0.0.1:2525; set another'),
        (config(socketmap="127.0.0.1:2525"), 'listener "mx" has the address 127.0.0.1:2525; set another'),
        (config(web="127.0.0.1:8080", socketmap="127.0.0.1:8080"), "web.address is 127.0.0.1:8080 too; set another"),
        (config("web", web="127.0.0.1:8080"), '"web" is the name of the section [web]; call the listener another'),
        (config("socketmap", socketmap="unix:/s"), '"socketmap" is the name of the section [socketmap]'),
        (config(socketmap="localhost"), 'expected "host:port"'),
    ],
)
def test_what_cannot_be(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(text)
    assert complaint in str(error.value)


@pytest.mark.parametrize(
    ("text", "services"),
    [
        (config("web"), {}),
        (config("socketmap", web="127.0.0.1:0"), {"web": "127.0.0.1:0"}),
        (config(web="127.0.0.1:0", socketmap="127.0.0.1:0"), {"web": "127.0.0.1:0", "socketmap": "127.0.0.1:0"}),
        (config(socketmap="unix:/run/s"), {"socketmap": "unix:/run/s"}),
    ],
)
def test_what_can_be(text: str, services: dict[str, str]) -> None:
    assert read(text).services == services
