"""A thousand generated requests, by the service's own OpenAPI page: the client's fault is a 4xx, never a 5xx.

Schemathesis draws bodies and headers that fit the page and ones that do not, and checks the answers: declared
status, declared body, no server error.
"""

from collections import Counter

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from voters import ADMIN_TOKEN, TOKENS

from course_utils.serving.app import create_app
from course_utils.serving.engine import StubEngine
from course_utils.serving.limits import Limits
from course_utils.serving.running import serve_in_thread
from course_utils.serving.store import open_store

# generated requests that fit the page, and that do not, by path; some paths take nothing that could be wrong
PLAN = {
    "/chat": (200, 240), "/feedback": (180, 240), "/rollout": (80, 100), "/rollback": (5, 0),
    "/health": (5, 0), "/metrics": (5, 0),
}  # fmt: skip
HEADERS = {"Authorization": f"Bearer {ADMIN_TOKEN}"}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """What schemathesis read on the OpenAPI page of a running service."""
    engines = {name: StubEngine() for name in ("control", "treatment")}
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('generated')}/s.db")
    limits = Limits(rate=1e6, burst=1e6, refresh=0.02)  # a ramp takes twice as long
    app = create_app(engines, store, tokens=TOKENS, limits=limits)
    with serve_in_thread(app) as url:
        yield schemathesis.openapi.from_url(f"{url}/openapi.json")


def test_whatever_is_sent_the_answer_is_a_declared_one(page):
    seen = Counter()
    operations = {o.path: o for o in (result.ok() for result in page.get_all_operations())}
    assert operations.keys() == PLAN.keys()
    for path, counts in PLAN.items():
        for mode, count in zip((GenerationMode.POSITIVE, GenerationMode.NEGATIVE), counts, strict=True):
            if count:
                send(operations[path], mode, count, seen)
    print(dict(seen))
    assert sum(seen.values()) >= 1000, seen
    assert not [key for key in seen if key[1] >= 500], seen
    # every part of the page was reached, by good and by bad requests
    reached = {path: {status for p, status in seen if p == path} for path in PLAN}
    assert {200, 422} <= reached["/chat"] and {404, 422} <= reached["/feedback"]
    assert {200, 409, 422} <= reached["/rollout"]


def send(operation, mode, count, seen):
    """Draw requests, send them, check the answers, count them by path and status."""

    @settings(
        max_examples=count, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def once(case):
        response = case.call(headers=HEADERS, timeout=60)  # it is whether, not when, it answers
        case.validate_response(response, headers=HEADERS)
        seen[operation.path, response.status_code] += 1

    once()
