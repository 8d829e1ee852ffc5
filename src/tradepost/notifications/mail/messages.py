"""The message that an e-mail is due."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from tradepost.core.messaging.messages import Message


@dataclass(frozen=True, slots=True)
class EmailDue(Message):
    """An e-mail to a person is due: ``template`` ``welcome`` is the pair ``welcome.txt`` and ``welcome.html``.

    ``params`` are ids and short texts that the template names. A ``token_id`` becomes the ``link`` of that token when the
    e-mail is composed: no stored message holds a link.
    """

    type: ClassVar[str] = "notifications.mail.v1"
    template: str
    user_id: int
    params: Mapping[str, int | str] = field(default_factory=dict)
