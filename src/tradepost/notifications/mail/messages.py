"""What is sent by e-mail."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from tradepost.core.messaging.messages import Message


@dataclass(frozen=True, slots=True)
class MailDue(Message):
    """Somebody is to get the e-mail of a template: ``welcome`` for the pair ``welcome.txt`` and ``welcome.html``.

    ``params`` are ids and short texts that the template names. A ``token_id`` becomes the ``link`` of that token, which
    is made when the e-mail is: no message holds it.
    """

    type: ClassVar[str] = "notifications.mail.v1"
    template: str
    user_id: int
    params: Mapping[str, int | str] = field(default_factory=dict)
