"""A row for every table, each hanging on another: what migrations are tried on. A new table gets one here.

They are inserted in the order in which tables refer to each other; that of this file means nothing.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
TIMES: Final = {"created_at": NOW, "updated_at": NOW}

ROWS: Final[dict[str, dict[str, Any]]] = {
    "users": {
        "id": 1,
        "email": "a@example.com",
        "hashed_password": "x",
        "first_name": "A",
        "last_name": "B",
        "role": "user",
        "is_active": True,
        **TIMES,
    },
    "sessions": {
        "id": 1,
        "user_id": 1,
        "counter": 0,
        "created_at": NOW,
        "rotated_at": NOW,
        "expires_at": NOW,
    },
    "account_tokens": {
        "user_id": 1,
        "purpose": "verify_email",
        "nonce": "n",
        "token_hash": "h",
        "email": "a@example.com",
        "created_at": NOW,
        "expires_at": NOW,
    },
    "categories": {"id": 1, "name": "C", "slug": "c", "is_active": True, **TIMES},
    "tags": {"name": "t", **TIMES},
    "items": {
        "id": 1,
        "title": "T",
        "price": Decimal("1.50"),
        "status": "active",
        "category_id": 1,
        "images": [],
        "views": 0,
        "owner_id": 1,
        "version": 1,
        **TIMES,
    },
    "item_texts": {"item_id": 1, "title": "t", "tags": "t", "description": ""},
    "text_rules": {"name": "items", "rule": 1},
    "item_tags": {"item_id": 1, "tag": "t", "position": 0},
    "item_counts": {"dimension": "tag", "key": "gone", "status": "active", "n": 0},
    "item_count_changes": {"id": 1_000_000, "status": "active", "tag": "t", "n": 0},
    "inboxes": {"user_id": 1, "last_number": 1, "pruned_through": 0},
    "notifications": {
        "user_id": 1,
        "number": 1,
        "kind": "k",
        "title": "T",
        "body": "B",
        "data": {},
        "created_at": NOW,
    },
    "notification_preferences": {"user_id": 1, "kind": "k", "email": False, "updated_at": NOW},
    "messages": {
        "type": "t",
        "subscription": "s",
        "channel": "c",
        "payload": {},
        "state": "pending",
        "attempts": 0,
        "created_at": NOW,
        "due_at": NOW,
        "expires_at": NOW,
    },
    "jobs": {"name": "j", "due_at": NOW},
    "webhooks": {
        "id": 1,
        "user_id": 1,
        "slot": 1,
        "url": "https://example.com",
        "event_types": ["*"],
        "scope": "own",
        "is_active": True,
        "nonce": "n",
        **TIMES,
    },
    "webhook_deliveries": {
        "webhook_id": 1,
        "message_id": "msg_1",
        "event_type": "t",
        "body": "{}",
        "state": "pending",
        "attempts": 0,
        "created_at": NOW,
    },
    "files": {
        "name": "f.png",
        "category": "items",
        "original_name": "F",
        "content_type": "image/png",
        "size": 1,
        "sha256": "0" * 64,
        "state": "stored",
        "owner_id": 1,
        "subject_id": 1,
        "created_at": NOW,
        "changed_at": NOW,
    },
    "file_usage": {"owner_id": 1, "files": 1, "bytes": 1},
    "file_variants": {
        "file_id": 1,
        "recipe": "64x0-contain.webp",
        "key": "v.webp",
        "size": 0,
        "begun_at": NOW,
    },
}
"""By table."""
