"""The same once more, with the bytes in S3."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.conftest import World, world_on
from tests.items.test_item_files import (
    test_a_deleted_item_takes_its_files_along,
    test_a_deleted_picture_is_off_its_item,
    test_all_or_nothing,
    test_an_item_shows_the_pictures_of_its_owner,
    test_documents_are_for_the_owner_and_staff,
)
from tests.media.test_avatars import (
    test_a_deleted_person_takes_their_files_along,
    test_a_new_avatar_takes_the_place_of_the_old_one,
    test_an_avatar_is_stored_and_served,
)
from tests.media.test_keeping import (
    test_what_a_crash_leaves_is_swept,
    test_who_is_deleted_while_uploading_leaves_nothing,
)
from tests.media.test_refusals import test_clients_that_go_away, test_requests_that_are_cancelled
from tests.media.test_serving import (
    test_a_part,
    test_bytes_that_are_lost_are_not_found,
    test_many_read_at_once,
    test_several_parts,
    test_the_head_of_it,
    test_the_whole,
)
from tests.servers import S3Server

__all__ = [
    "test_a_deleted_item_takes_its_files_along",
    "test_a_deleted_person_takes_their_files_along",
    "test_a_deleted_picture_is_off_its_item",
    "test_a_new_avatar_takes_the_place_of_the_old_one",
    "test_a_part",
    "test_all_or_nothing",
    "test_an_avatar_is_stored_and_served",
    "test_an_item_shows_the_pictures_of_its_owner",
    "test_bytes_that_are_lost_are_not_found",
    "test_clients_that_go_away",
    "test_documents_are_for_the_owner_and_staff",
    "test_many_read_at_once",
    "test_requests_that_are_cancelled",
    "test_several_parts",
    "test_the_head_of_it",
    "test_the_whole",
    "test_what_a_crash_leaves_is_swept",
    "test_who_is_deleted_while_uploading_leaves_nothing",
]


@pytest_asyncio.fixture(scope="module")
async def module_world(
    database_url: str, tmp_path_factory: pytest.TempPathFactory, s3: S3Server
) -> AsyncIterator[World]:
    """An application that keeps its files in a bucket of its own."""
    bucket = s3.create_bucket("files")
    async with world_on(database_url, tmp_path_factory.mktemp("data"), **bucket) as world:
        yield world
