"""How the peers written in Python are served: as Tradepost is, by uvicorn with uvloop and httptools."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

import uvicorn

if TYPE_CHECKING:
    from collections.abc import Callable


def serve(make_app: Callable[[str, str], Any]) -> None:
    """Serve the ASGI application `make_app(database_url, secret_key)` with one worker on the port of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    uvicorn.run(
        make_app(os.environ["DATABASE_URL"], os.environ["SECRET_KEY"]),
        host="127.0.0.1",
        port=parser.parse_args().port,
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
    )
