from prometheus_client.samples import Sample

from tradepost.live.frames import NAMES, Look, frame, look, route_class

PREFIX = "/api/v1"
REQUESTS = "tradepost_http_requests_total"
DURATIONS = "tradepost_http_request_duration_seconds_bucket"


def looked(at: float, *samples: Sample) -> Look:
    return look(samples, at=at, prefix=PREFIX)


def requests(n: float, *, method: str = "GET", route: str = "/api/v1/items/", status: str = "200") -> Sample:
    return Sample(REQUESTS, {"method": method, "route": route, "status": status}, n)


def durations(route: str, **counts: float) -> list[Sample]:
    bounds = {"fast": "0.01", "slow": "0.1", "all": "+Inf"}
    return [
        Sample(DURATIONS, {"method": "GET", "route": route, "le": bounds[name]}, n)
        for name, n in counts.items()
    ]


def test_requests_are_counted_by_the_part_of_the_api() -> None:
    assert route_class("GET", "/api/v1/items/{item_id}", PREFIX) == "items, reads"
    assert route_class("QUERY", "/api/v1/items/", PREFIX) == "items, reads"
    assert route_class("PATCH", "/api/v1/users/me", PREFIX) == "users, writes"
    assert route_class("GET", "/metrics", PREFIX) == "pages"
    assert route_class("GET", "unmatched", PREFIX) == "not found"


def test_a_frame_is_what_grew() -> None:
    before = looked(100, requests(10), requests(5, method="POST"))
    after = looked(
        102, requests(50), requests(5, method="POST"), requests(4, status="500"), requests(6, status="503")
    )
    found = frame(before, after)
    assert found["requests"] == {"items, reads": 25.0}
    assert found["refused"] == {"errors": 2.0, "unavailable": 3.0}
    assert (found["at"], found["seconds"]) == (102, 2)


def test_counts_that_a_dead_worker_took_along_are_nothing() -> None:
    assert frame(looked(1, requests(50)), looked(2, requests(10)))["requests"] == {}


def test_quantiles_lie_within_their_buckets_and_streams_are_in_none() -> None:
    before = looked(1, *durations("/api/v1/items/", fast=100, slow=100, all=100))
    after = looked(
        2,
        *durations("/api/v1/items/", fast=190, slow=200, all=200),
        *durations("/api/v1/notifications/stream", fast=0, slow=0, all=900),
    )
    found = frame(before, after)
    assert 0 < found["p50"] < 10 < found["p99"] <= 100
    assert frame(after, after)["p50"] is None
    slowest = looked(3, *durations("/api/v1/items/", fast=0, slow=0, all=5))
    assert frame(Look(2), slowest)["p99"] == 100


def test_a_frame_says_how_things_stand() -> None:
    found = frame(
        looked(1, Sample("tradepost_coalesced_batch_size_sum", {"read": "item"}, 10)),
        looked(
            2,
            Sample("tradepost_http_requests_in_progress", {}, 7),
            Sample("tradepost_event_loop_lag_seconds", {}, 0.002),
            Sample("tradepost_notification_streams", {}, 3),
            Sample("tradepost_overload_lane_wait_seconds", {}, 0.5),
            Sample("tradepost_database_pool_size", {}, 20),
            Sample("tradepost_database_pool_held", {}, 4),
            Sample("tradepost_messages_waiting", {"channel": "mail"}, 2),
            Sample("tradepost_messages_waiting", {"channel": "inbox"}, 3),
            Sample("tradepost_messages_lag_seconds", {"channel": "mail"}, 9),
            Sample("tradepost_messages_lag_seconds", {"channel": "inbox"}, 4),
            Sample("tradepost_coalesced_batch_size_sum", {"read": "item"}, 40),
            Sample("tradepost_coalesced_batch_size_count", {"read": "item"}, 10),
            Sample("tradepost_worker_cpu_seconds", {"pid": "1"}, 0.25),
            Sample("tradepost_worker_cpu_seconds", {"pid": "2"}, 0.5),
            Sample("tradepost_rate_limited_total", {"limit": "login"}, 5),
        ),
    )
    assert (found["in_flight"], found["lag"], found["streams"]) == (7, 0.002, 3)
    assert found["waits"] == {"lane": 0.5}
    assert found["connections"] == {"pool": {"size": 20, "held": 4}}
    assert found["outbox"] == {"waiting": 5, "dead": 0, "age": 9}
    assert found["batches"] == {"item": 3.0}
    assert (found["cores"], found["refused"]) == (0.75, {"limits": 5.0})


def test_all_that_is_drawn_is_asked_for() -> None:
    assert {REQUESTS, DURATIONS, "tradepost_messages_lag_seconds", "process_cpu_seconds_total"} <= NAMES
