"""The scenario with openapi-python-client; run by itself, with the client that was generated on the path."""

import json
import os
from base64 import b64decode
from io import BytesIO

from tradepost_client import AuthenticatedClient, Client  # type: ignore[import-not-found]
from tradepost_client.api.auth import login, register  # type: ignore[import-not-found]
from tradepost_client.api.items import create_item, list_items, read_item  # type: ignore[import-not-found]
from tradepost_client.api.uploads import upload_item_images  # type: ignore[import-not-found]
from tradepost_client.models import (  # type: ignore[import-not-found]
    ErrorCode,
    ItemCreate,
    LoginForm,
    NotificationRead,
    Problem,
    UploadItemImagesBody,
    UserRegister,
)
from tradepost_client.types import File  # type: ignore[import-not-found]

PICTURE = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGM4USECAANgAVXxOD+gAAAAAElFTkSuQmCC"
)
BASE, EMAIL, PASSWORD = os.environ["BASE"], os.environ["EMAIL"], "Tradepost1"

stranger = Client(base_url=BASE)
person = register.sync(
    client=stranger,
    body=UserRegister(email=EMAIL, password=PASSWORD, first_name="Ada", last_name="Lovelace"),
)
assert person.full_name == "Ada Lovelace", person

session = login.sync(client=stranger, body=LoginForm(username=EMAIL, password=PASSWORD))
assert isinstance(session.refresh_token, str), session
client = AuthenticatedClient(base_url=BASE, token=session.access_token)

item = create_item.sync(
    client=client,
    body=ItemCreate(title="Desk lamp", price=24.5, discount_price=19.99, tags=["lamp", "brass"]),
)
assert (item.price, item.discount_price) == (24.5, 19.99), item

found = list_items.sync(client=client, tag=["lamp", "brass"], min_price=20, max_price=30, owner_id=person.id)
assert [one.id for one in found.items] == [item.id], found

picture = File(payload=BytesIO(PICTURE), file_name="lamp.png", mime_type="image/png")
uploaded = upload_item_images.sync(item.id, client=client, body=UploadItemImagesBody(files=[picture]))
assert [file.content_type for file in uploaded.uploaded_files] == ["image/png"], uploaded

missing = read_item.sync(2**31, client=client)
assert isinstance(missing, Problem), missing
assert missing.error_code is ErrorCode.ITEM_NOT_FOUND, missing

# Its function for the stream waits for an end; its client and its types are what one reads a stream with.
with client.get_httpx_client().stream(
    "GET", "/api/v1/notifications/stream", headers={"Last-Event-ID": "0"}
) as answer:
    for line in answer.iter_lines():
        if line.startswith("data: "):
            told = NotificationRead.from_dict(json.loads(line.removeprefix("data: ")))
            if told.kind == "item_created":
                assert told.data.to_dict() == {"item_id": item.id, "item_title": "Desk lamp"}, told
                break
