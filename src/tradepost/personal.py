"""What is kept about people: every table that names a person is exported to them, or left out with its reason.

``tests/accounts/test_data_export.py`` fails when a table that names a person is in neither list.
"""

from typing import Any, Final, cast

from sqlalchemy import ColumnElement, Table, or_, select

from tradepost.accounts.exporting import FILES, PersonalTable, PersonalTables, Row
from tradepost.accounts.models import (
    AccountToken,
    ApiKey,
    LoginSession,
    SecondFactor,
    User,
)
from tradepost.core.audit.models import AuditLine
from tradepost.core.database.sort_keys import key_columns
from tradepost.events.models import Event, Participant
from tradepost.items.models import Item, ItemTag
from tradepost.media.models import FileUsage, StoredFile
from tradepost.media.schemas import FileState
from tradepost.notifications.inbox.models import Notification
from tradepost.notifications.preferences.models import Preference
from tradepost.webhooks.models import Webhook, WebhookDelivery

NOT_EXPORTED: Final = {
    "recovery_codes": "hashes of codes: who has the codes has them, and nobody else should",
    "idempotency_keys": "digests of requests, for a day",
    "idempotent_pieces": "parts of answers to requests that are under way, for a day",
    "event_reminders": "when those who join an event are reminded, which its start says",
    "file_variants": "smaller copies of pictures",
    "item_counts": "numbers of items, which the list of items gives",
    "item_count_changes": "numbers of items that are yet to be counted",
    "item_texts": "the words of items as search has them, made of the items",
    "inboxes": "the number of the last notification",
    "messages": "what waits to be told, made of the rest, for a day",
}
"""Tables with rows about people that are in no export, and why."""


def _table(model: Any) -> Table:
    return cast("Table", model.__table__)


def _stored_file(row: Row) -> tuple[str, str] | None:
    if row["state"] is not FileState.STORED:
        return None
    return row["name"], f"{FILES}{row['category']}/{row['name']}"


def _audit_line(row: dict[str, Any], user_id: int) -> dict[str, Any]:
    """Return a line without where somebody else was."""
    if row["actor_id"] == user_id:
        return row
    return row | {"ip": None, "user_agent": None, "request_id": None}


def _of_items(user_id: int) -> ColumnElement[bool]:
    return ItemTag.item_id.in_(select(Item.id).where(Item.owner_id == user_id))


def _of_webhooks(user_id: int) -> ColumnElement[bool]:
    return WebhookDelivery.webhook_id.in_(select(Webhook.id).where(Webhook.user_id == user_id))


def _of_audit(user_id: int) -> ColumnElement[bool]:
    return or_(AuditLine.actor_id == user_id, AuditLine.subject_id == user_id)


EXPORTED: Final = PersonalTables(
    (
        PersonalTable(
            "profile",
            "your account",
            _table(User),
            lambda user_id: User.id == user_id,
            frozenset({"hashed_password", *key_columns(_table(User))}),
        ),
        PersonalTable(
            "sessions",
            "where you are logged in",
            _table(LoginSession),
            lambda one: LoginSession.user_id == one,
        ),
        PersonalTable(
            "api_keys",
            "your keys for programs, without their secrets",
            _table(ApiKey),
            lambda user_id: ApiKey.user_id == user_id,
            frozenset({"secret_hash", "slot"}),
        ),
        PersonalTable(
            "links",
            "links that you were sent by e-mail, without what makes them work",
            _table(AccountToken),
            lambda user_id: AccountToken.user_id == user_id,
            frozenset({"nonce", "token_hash"}),
        ),
        PersonalTable(
            "second_factor",
            "since when you have a second factor",
            _table(SecondFactor),
            lambda user_id: SecondFactor.user_id == user_id,
            frozenset({"secret", "last_step", "failures"}),
        ),
        PersonalTable(
            "items",
            "what you put up for sale",
            _table(Item),
            lambda user_id: Item.owner_id == user_id,
            frozenset({"indexed_version", *key_columns(_table(Item))}),
        ),
        PersonalTable("item_tags", "the tags of your items", _table(ItemTag), _of_items),
        PersonalTable(
            "events",
            "what you organise",
            _table(Event),
            lambda user_id: Event.organiser_id == user_id,
            frozenset({"words", "last_number"}),
        ),
        PersonalTable(
            "seats",
            "the events that you joined, or wait for",
            _table(Participant),
            lambda user_id: Participant.user_id == user_id,
        ),
        PersonalTable(
            "notifications",
            "what you were told",
            _table(Notification),
            lambda user_id: Notification.user_id == user_id,
        ),
        PersonalTable(
            "preferences",
            "how you want to be told",
            _table(Preference),
            lambda user_id: Preference.user_id == user_id,
        ),
        PersonalTable(
            "webhooks",
            "where programs of yours are told, without the secrets",
            _table(Webhook),
            lambda user_id: Webhook.user_id == user_id,
            frozenset({"nonce", "previous_nonce", "previous_until", "slot"}),
        ),
        PersonalTable("webhook_deliveries", "what these were sent", _table(WebhookDelivery), _of_webhooks),
        PersonalTable(
            "files",
            "your pictures and documents",
            _table(StoredFile),
            lambda user_id: StoredFile.owner_id == user_id,
            stored=_stored_file,
        ),
        PersonalTable(
            "file_usage", "what they take up", _table(FileUsage), lambda one: FileUsage.owner_id == one
        ),
        PersonalTable(
            "audit",
            "what you did, and what was done to your account, by whom and when",
            _table(AuditLine),
            _of_audit,
            frozenset({"fold"}),
            _audit_line,
        ),
    )
)
