"""``/dev/mails``: pages that show the e-mails which ``local`` writes to a folder instead of sending them."""

import html
from typing import Final

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tradepost.core.settings.settings import Settings
from tradepost.notifications.mail.dependencies import build_folder
from tradepost.notifications.mail.folder import FiledEmail
from tradepost.web.answers.static_content import root_of
from tradepost.web.routing.route import OpenRoute
from tradepost.web.routing.router import Router

_STYLE: Final = """
:root { color-scheme: light dark; }
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif; }
table { width: 100%; border-collapse: collapse; }
th, td { padding: .5rem; text-align: left; border-bottom: 1px solid #8884; overflow-wrap: anywhere; }
dt { font-weight: 600; } dd { margin: 0 0 .5rem; overflow-wrap: anywhere; }
iframe { width: 100%; height: 36rem; border: 1px solid #8888; border-radius: .5rem; background: #fff; }
pre { padding: 1rem; border: 1px solid #8888; border-radius: .5rem; white-space: pre-wrap; overflow-wrap: anywhere; }
"""
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
}
# The content of an e-mail runs no script, loads nothing, and has no origin; its links open elsewhere.
_SANDBOX: Final = "allow-popups allow-popups-to-escape-sandbox"
_MAIL_HEADERS: Final = {
    "Content-Security-Policy": (
        f"sandbox {_SANDBOX}; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; "
        "frame-ancestors 'self'"
    ),
    "Cache-Control": "no-store",
}


def _page(title: str, content: str) -> Response:
    body = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{html.escape(title)}</h1>{content}</body></html>"
    )
    return Response(body, headers=_HEADERS, media_type="text/html")


def _row(mail: FiledEmail, root: str) -> str:
    subject, recipient, date = map(html.escape, (mail.subject or "(no subject)", mail.recipient, mail.date))
    return (
        f'<tr><td><a href="{root}/dev/mails/{mail.name}">{subject}</a></td>'
        f"<td>{recipient}</td><td>{date}</td></tr>"
    )


def _shown(mail: FiledEmail, root: str) -> str:
    fields = (
        ("From", mail.sender),
        ("To", mail.recipient),
        ("Date", mail.date),
        ("File", f"{mail.name}.eml"),
    )
    head = "".join(f"<dt>{name}</dt><dd>{html.escape(value)}</dd>" for name, value in fields)
    return (
        f'<p><a href="{root}/dev/mails">All e-mails</a></p><dl>{head}</dl><h2>HTML</h2>'
        f'<iframe title="The e-mail" sandbox="{_SANDBOX}" src="{root}/dev/mails/{mail.name}/html"></iframe>'
        f"<h2>Text</h2><pre>{html.escape(mail.text)}</pre>"
    )


def build_router(settings: Settings) -> Router:
    """Return the routes, none outside ``local``; they are not in the OpenAPI."""
    router = Router(route_class=OpenRoute, include_in_schema=False)
    if not settings.is_local:
        return router
    folder = build_folder(settings)

    async def found(name: str) -> FiledEmail:
        mail = await folder.find(name)
        if mail is None:
            raise HTTPException(404)
        return mail

    @router.get("/dev/mails")
    async def list_mails(request: Request) -> Response:
        root = html.escape(root_of(request, settings))
        mails = await folder.newest()
        rows = "".join(_row(mail, root) for mail in mails)
        table = f"<table><tr><th>Subject</th><th>To</th><th>Date</th></tr>{rows}</table>"
        where = f"<p>They are in <code>{html.escape(str(folder.directory))}</code>, newest first.</p>"
        nothing = "<p>There is none yet.</p>"
        if settings.SMTP_HOST is not None:
            nothing = "<p>There is none: they are sent to the mail server, as SMTP_HOST is set.</p>"
        return _page("E-mails", where + table if mails else nothing)

    @router.get("/dev/mails/{name}")
    async def show_mail(request: Request, name: str) -> Response:
        mail = await found(name)
        return _page(mail.subject or "(no subject)", _shown(mail, html.escape(root_of(request, settings))))

    @router.get("/dev/mails/{name}/html")
    async def show_mail_html(name: str) -> Response:
        mail = await found(name)
        return Response(f'<base target="_blank">{mail.html}', headers=_MAIL_HEADERS, media_type="text/html")

    return router
