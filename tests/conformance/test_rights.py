"""A rights matrix: who may call which operation, asked over HTTP, every cell of it.

The table says it for groups of operations. An operation that is in no group fails the test, so that nobody forgets to say
who may call a new one. What is refused is asked first, and has to leave every table as it was.
"""

from collections.abc import Iterator

from tests.conformance.stage import Stage
from tests.conformance.test_document import document
from tests.conformance.test_examples import by_name
from tests.conftest import NewPerson, World

ASKERS = (
    "nobody",
    "owner",
    "other",
    "moderator",
    "admin",
    "demoted",
    "deactivated",
    "deleted",
    "reading key",
    "writing key",
    "load-test key",
)
"""Who asks: the owner of what the operation is about, and another user; an admin who became a user, one whose account was
switched off, and one whose account was deleted, each with the token from before; and three keys of an admin: one with
``read:items`` alone, one with ``write:items`` alone, and one for load tests with everything that the admin may."""

LET_IN = 1
GROUPS = {
    # In the order of ASKERS: 1 is let in, all else are refusals.
    #                       nobody own other mod. admin | demoted off gone | keys: reading writing load-test
    "everybody":            "1     1   1     1    1       1       1   1            1       1       1",
    "visitors":             "1     1   1     1    1       1       401 401          1       1       1",
    "members who read":     "401   1   1     1    1       1       401 401          1       1       1",
    "members":              "401   1   1     1    1       1       401 401          403     1       1",
    "log-ins":              "401   1   1     1    1       1       401 401          403     403     403",
    "owner or staff":       "401   1   403   1    1       403     401 401          403     403     1",
    "owner or admin":       "401   1   403   403  1       403     401 401          403     403     1",
    "staff":                "401   403 403   1    1       403     401 401          403     403     1",
    "admins":               "401   403 403   403  1       403     401 401          403     403     1",
    # Of what others may not know of, they hear that there is none.
    "owner alone, reading": "401   1   404   404  404     404     401 401          404     404     404",
    "owner alone":          "401   1   404   404  404     404     401 401          403     404     404",
    "owner's log-in":       "401   1   404   404  404     404     401 401          403     403     403",
    "admins' log-ins":      "401   403 403   403  1       403     401 401          403     403     403",
    "hidden, reading":      "404   1   404   1    1       404     401 401          404     404     1",
    "hidden from all":      "404   404 404   1    1       404     401 401          404     404     1",
    "hidden":               "401   1   404   1    1       404     401 401          403     404     1",
    "hidden, by admins":    "401   1   404   403  1       404     401 401          403     404     1",
}  # fmt: skip

OPERATIONS = {
    "everybody": """
        welcome health liveness readiness_report metrics_text read_event_calendar
        login register forgot_password reset_password verify_email confirm_email_change undo_email_change
        refresh_token:in-the-body resend_verification:to-the-address""",
    "visitors": """
        list_items search_items list_popular_items export_items read_item read_file
        list_tags read_tag list_categories read_category list_events read_event""",
    "members who read": """
        read_me list_my_items list_webhooks list_notifications stream_notifications read_preferences read_my_usage
        list_api_keys list_my_audit_lines""",
    "members": """
        update_me create_item create_items_in_bulk create_event join_event leave_event create_webhook
        upload_avatar process_image change_preferences create_stream_ticket mark_all_notifications_read""",
    "log-ins": """
        logout logout_all list_sessions change_my_password create_api_key refresh_token resend_verification
        change_email export_my_data delete_me set_up_totp confirm_totp remove_totp""",
    "owner or staff": """
        delete_item upload_item_images upload_item_documents delete_file
        replace_event patch_event delete_event cancel_event list_participants remove_participant""",
    "owner or admin": "replace_item patch_item",
    "staff": "create_tag update_tag patch_tag delete_tag merge_tag list_users read_user read_usage list_files",
    "admins": """
        create_user update_user delete_user send_password_reset create_category update_category patch_category delete_category
        list_messages read_message retry_message delete_message retry_messages purge_messages
        list_audit_lines export_audit_lines
        create_webhook:of-all list_webhooks_of_all read_webhook_of_somebody list_deliveries_of_somebody
        read_delivery_of_somebody redeliver_for_somebody""",
    "owner alone, reading": """
        read_webhook list_deliveries read_delivery read_api_key""",
    "owner alone": """
        update_webhook patch_webhook delete_webhook rotate_webhook_secret test_webhook redeliver
        mark_notification_read delete_notification delete_api_key""",
    "owner's log-in": "revoke_session",
    "admins' log-ins": """
        update_user:of-an-address
        lift_totp read_totp_of list_sessions_of revoke_sessions_of revoke_session_of list_api_keys_of delete_api_key_of""",
    "hidden, reading": "read_item:of-a-draft read_file:of-a-draft read_file:a-document",
    "hidden from all": "read_category:inactive",
    "hidden": "delete_item:of-a-draft upload_item_images:of-a-draft upload_item_documents:of-a-draft delete_file:a-document",
    "hidden, by admins": "replace_item:of-a-draft patch_item:of-a-draft",
}
"""The operations of each group, by the ids that they have in the OpenAPI. What follows a colon is a case of its own."""

NOT_ABOUT_RIGHTS = {
    "reset_password": (400, "INVALID_TOKEN"),
    "verify_email": (400, "INVALID_TOKEN"),
    "confirm_email_change": (400, "INVALID_TOKEN"),
    "undo_email_change": (400, "INVALID_TOKEN"),
}
"""What stands for being let in: the links of the examples are nobody's, which is found out after every question of rights."""

BODY_FIRST = {"refresh_token", "resend_verification"}
"""Operations that look at no header where there is a body."""

ADVICE = (
    "Say in OPERATIONS who may call it: name its operationId in the group whose row is right, or add a row to GROUPS. What "
    "its path names is made in tests/conformance/scenes.py, where a body that must differ from the example is said, too."
)


def rows() -> Iterator[tuple[str, dict[str, int]]]:
    """Yield each operation or case, and the status for each asker: 1 is let in."""
    for group, names in OPERATIONS.items():
        statuses = dict(zip(ASKERS, map(int, GROUPS[group].replace("|", " ").split()), strict=True))
        for name in names.split():
            yield name, statuses


def test_every_operation_is_in_the_table_once() -> None:
    named = [name for name, _ in rows()]
    assert sorted(set(named)) == sorted(named)
    assert {name.partition(":")[0] for name in named} == by_name(document()).keys(), ADVICE
    assert OPERATIONS.keys() == GROUPS.keys()


def test_the_document_says_the_same() -> None:
    """Who needs no credential, who may show an API key, and which refusals there are."""
    cases: dict[str, list[dict[str, int]]] = {}
    for name, statuses in rows():
        cases.setdefault(name.partition(":")[0], []).append(statuses)
    for name, (_, _, operation) in by_name(document()).items():
        schemes = {scheme for wanted in operation["security"] for scheme in wanted}
        strangers = not operation["security"] or {} in operation["security"]
        assert strangers == any(case["nobody"] != 401 for case in cases[name]), name
        if schemes and name not in BODY_FIRST:
            assert ("apiKey" in schemes) == any(case["load-test key"] != 403 for case in cases[name]), name
        refusals = {str(status) for case in cases[name] for status in case.values()} - {str(LET_IN)}
        assert refusals <= operation["responses"].keys(), name


async def test_everybody_may_do_what_the_table_says_and_nothing_else(
    world: World, new_person: NewPerson
) -> None:
    stage = Stage(world, new_person)
    await stage.fill()
    table = dict(rows())
    wrong: list[str] = []
    scenes = {name: await stage.scene(name, "owner") for name in table}
    before = await stage.contents()
    for name, statuses in table.items():
        for asker, status in statuses.items():
            if status != LET_IN:
                answer = await stage.ask(name, scenes[name], asker)
                if answer[0] != status or answer[1] == "HTTP_404":
                    wrong.append(f"{name}, {asker}: {answer} instead of {status}")
    assert not wrong, "\n".join(wrong)
    assert await stage.contents() ^ before == set(), "a refused request has changed something"
    for name, statuses in table.items():
        for asker, status in statuses.items():
            if status == LET_IN:
                scene = scenes[name] if stage.leaves_as_it_was(name) else await stage.scene(name, asker)
                answer = await stage.ask(name, scene, asker)
                if answer != NOT_ABOUT_RIGHTS.get(name, (200, "")):
                    wrong.append(f"{name}, {asker}: {answer} instead of being let in")
    assert not wrong, "\n".join(wrong)
