"""The table of contents: every router, the busiest first, and the facts that webhooks are told."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter

from tradepost.accounts import (
    auth_routes,
    email_routes,
    key_routes,
    recovery_routes,
    second_factor_routes,
    supervision_routes,
    user_routes,
)
from tradepost.audit import routes as audit_routes
from tradepost.categories import routes as category_routes
from tradepost.events import routes as event_routes
from tradepost.injection import routes as fault_routes
from tradepost.items import bulk_routes as item_bulk_routes
from tradepost.items import routes as item_routes
from tradepost.items import upload_routes as item_upload_routes
from tradepost.media import routes as upload_routes
from tradepost.notifications.inbox import routes as inbox_routes
from tradepost.notifications.preferences import routes as preference_routes
from tradepost.outbox import routes as outbox_routes
from tradepost.tags import routes as tag_routes
from tradepost.web.routing.router import Router
from tradepost.webhooks import routes as webhook_routes
from tradepost.webhooks import supervision_routes as webhook_supervision_routes

ROUTERS: tuple[Router, ...] = (
    item_bulk_routes.router,
    item_routes.router,
    user_routes.router,
    supervision_routes.router,
    auth_routes.router,
    recovery_routes.router,
    key_routes.router,
    second_factor_routes.router,
    email_routes.router,
    tag_routes.router,
    category_routes.router,
    event_routes.router,
    preference_routes.router,
    inbox_routes.router,
    webhook_routes.router,
    webhook_supervision_routes.router,
    upload_routes.router,
    item_upload_routes.router,
    outbox_routes.router,
    audit_routes.router,
)

FAULT_ROUTERS: tuple[Router, ...] = (fault_routes.router,)
"""What is served with ``FAULTS_ENABLED`` alone."""

KEYLESS: frozenset[Callable[..., Any]] = frozenset(
    {
        auth_routes.login,
        auth_routes.register,
        auth_routes.refresh_token,
        auth_routes.logout,
        auth_routes.logout_all,
        recovery_routes.forgot_password,
        recovery_routes.reset_password,
        recovery_routes.verify_email,
        email_routes.confirm_email_change,
        email_routes.undo_email_change,
        inbox_routes.create_stream_ticket,
    }
)
"""The POSTs that take no ``Idempotency-Key``: their answers are tokens, which are not kept, or whoever asks has no account
that a key could belong to, yet, or any more. A retry of any of them does no harm."""

FACTS: APIRouter = webhook_routes.facts
"""Requests that Tradepost sends; the OpenAPI describes them beside those that it answers."""
