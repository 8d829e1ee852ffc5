from typing import Any

import pytest

from tests.clock import stopped_clock
from tradepost.core.overload.arrivals import PLACES, Importance, importance_of
from tradepost.web.overload.importance import Ranking

KNOWN = b"Bearer known"
API = "/api/v1"


def new_ranking(secret: str = "k" * 40) -> tuple[Ranking, Any]:
    clock = stopped_clock()
    ranking = Ranking(clock=clock, secret=secret, address=lambda scope: str(scope["client"][0]))
    ranking.known.accept(KNOWN, clock.monotonic())
    return ranking, clock


def scope(
    method: str, target: str, *, credential: bytes | None = KNOWN, address: str = "192.0.2.1", **more: bytes
) -> Any:
    path, _, query = target.partition("?")
    headers = [(name.replace("_", "-").encode(), value) for name, value in more.items()]
    if credential is not None:
        headers.append((b"authorization", credential))
    return {
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": headers,
        "client": (address, 1),
    }


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health", "/metrics"])
def test_probes_have_no_rank(path: str) -> None:
    assert new_ranking()[0].rank(scope("GET", path, credential=None)) is None


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("POST", f"{API}/items/", Importance.WRITE),
        ("DELETE", f"{API}/items/7", Importance.WRITE),
        ("GET", f"{API}/items/7", Importance.READ),
        ("QUERY", f"{API}/items/", Importance.READ),
        ("GET", f"{API}/items/?q=&min_price=3", Importance.READ),
        ("GET", f"{API}/items/search/?q=chair", Importance.HEAVY),
        ("GET", f"{API}/items/?min_price=3&q=chair", Importance.HEAVY),
        ("GET", f"{API}/items/export", Importance.HEAVY),
        ("GET", f"{API}/upload/files/items/a.jpg", Importance.READ),
        ("GET", f"{API}/upload/files/items/a.jpg?w=64", Importance.HEAVY),
        ("POST", f"{API}/upload/process-image/?w=64", Importance.WRITE),
    ],
)
def test_the_class_comes_from_method_and_path(method: str, target: str, expected: Importance) -> None:
    ranking, _ = new_ranking()
    rank = ranking.rank(scope(method, target))
    assert rank is not None
    assert importance_of(rank) is expected
    stranger = ranking.rank(scope(method, target, credential=None))
    assert stranger is not None
    assert importance_of(stranger) is max(expected, Importance.STRANGER)


def test_a_key_counts_for_changes_by_people_alone() -> None:
    ranking, _ = new_ranking()
    keyed = scope("POST", f"{API}/items/", idempotency_key=b"1")
    assert importance_of(ranking.rank(keyed) or 0) is Importance.KEYED
    made_up = scope("POST", f"{API}/items/", credential=b"Bearer x", idempotency_key=b"1")
    assert importance_of(ranking.rank(made_up) or 0) is Importance.STRANGER


def test_a_credential_is_a_strangers_a_minute_after_it_was_accepted() -> None:
    ranking, clock = new_ranking()
    request = scope("GET", f"{API}/items/7")
    clock.move(59)
    assert importance_of(ranking.rank(request) or 0) is Importance.READ
    clock.move(2)
    assert importance_of(ranking.rank(request) or 0) is Importance.STRANGER


def test_a_place_stays_for_an_hour_and_is_the_same_in_all_processes() -> None:
    (one, clock), (other, _) = new_ranking(), new_ranking()
    places = [one.rank(scope("GET", API, credential=None, address=f"192.0.2.{n}")) for n in range(200)]
    assert places == [
        other.rank(scope("GET", API, credential=None, address=f"192.0.2.{n}")) for n in range(200)
    ]
    assert len(set(places)) == PLACES
    clock.move(3_600)
    assert places != [
        one.rank(scope("GET", API, credential=None, address=f"192.0.2.{n}")) for n in range(200)
    ]


def test_nobody_can_choose_an_address_with_a_good_place() -> None:
    request = scope("GET", API, credential=None)
    places = {new_ranking(secret=f"{number:040}")[0].rank(request) for number in range(100)}
    assert len(places) > PLACES // 2
