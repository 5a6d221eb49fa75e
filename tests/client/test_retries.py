"""When a request is made again: bounds of the pauses, Retry-After in both forms, the deadline, what is never repeated."""

import pickle
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvision.client import ConnectionFailedError, RequestFailedError, ServerProblemError, UnexpectedAnswerError
from pocketvision.client.retries import Attempts, Backoff, full_jitter, retry_after

URL = "http://server:8000"


def problem(status: int, after: float | None = None) -> ServerProblemError:
    return ServerProblemError(URL, "detail", status, "kind", "id", after)


@given(
    retries=st.integers(0, 40),
    deadline=st.floats(0.1, 1e4),
    first=st.floats(0.001, 10),
    most=st.floats(0.001, 100),
    asked=st.lists(st.one_of(st.none(), st.floats(0, 1e6)), min_size=41, max_size=41),
    share=st.floats(0, 1),
)
def test_pauses_stay_within_their_bounds_and_the_deadline(
    retries: int, deadline: float, first: float, most: float, asked: list[float | None], share: float
) -> None:
    now = 0.0
    attempts = Attempts(retries, deadline, Backoff(first, most, jitter=lambda bound: share * bound, clock=lambda: now))
    for after in asked:
        count = attempts.count
        try:
            pause = attempts.pause_after(problem(503, after), repeatable=True)
        except ServerProblemError as error:
            assert error.attempts == count <= retries + 1
            break
        floor = after or 0.0
        bound = min(most, first * 2.0 ** (count - 1))
        assert floor <= pause <= floor + bound * 1.000001
        assert attempts.count == count + 1
        now += pause
        assert now < deadline
        assert 0 < attempts.timeout(30.0) <= 30.0
    else:
        pytest.fail("it would go on for ever")


@given(st.floats(0, 1e6))
def test_jitter_is_anything_up_to_its_bound(most: float) -> None:
    assert 0 <= full_jitter(most) <= most


def test_jitter_differs() -> None:
    assert len({full_jitter(1.0) for _ in range(100)}) > 50


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"retry-after": formatdate(1030, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(900, usegmt=True)}, 0.0),
        # The server's clock is an hour ahead of ours: what counts is the difference that it means.
        ({"retry-after": formatdate(4630, usegmt=True), "date": formatdate(4600, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(1030, usegmt=True), "date": "yesterday"}, 30.0),
        ({}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "1.5"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "Fri, 99 Foo 2026 99:99:99 GMT"}, None),
    ],
)
def test_retry_after_is_a_number_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, today=1000.0) == seconds


@given(st.text())
def test_any_retry_after_is_understood_or_passed_over(text: str) -> None:
    pause = retry_after({"retry-after": text}, today=1000.0)
    assert pause is None or pause >= 0


RETRYABLE = ConnectionFailedError(URL, "refused", sent=False)
LOST = ConnectionFailedError(URL, "lost", sent=True)
LASTING = ConnectionFailedError(URL, "no such host", sent=False, permanent=True)


@pytest.mark.parametrize(
    ("error", "repeated", "repeated_only_if_harmless"),
    [
        (problem(429), True, False),
        (problem(503), True, False),
        (problem(502), True, True),
        (RETRYABLE, True, False),
        (LOST, True, True),
        (LASTING, False, False),
        (UnexpectedAnswerError(URL, "not ours"), False, False),
        *[
            (problem(status), False, False)
            for status in (301, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 500, 504)
        ],
    ],
)
def test_what_is_repeated(error: RequestFailedError, repeated: bool, repeated_only_if_harmless: bool) -> None:
    for repeatable in (True, False):
        attempts = Attempts(3, 60.0, Backoff())
        if repeated and (repeatable or not repeated_only_if_harmless):
            assert attempts.pause_after(error, repeatable=repeatable) >= 0
        else:
            with pytest.raises(type(error)):
                attempts.pause_after(error, repeatable=repeatable)


def test_a_server_that_asks_for_more_than_the_deadline_is_not_waited_for() -> None:
    attempts = Attempts(3, 60.0, Backoff())
    with pytest.raises(ServerProblemError) as raised:
        attempts.pause_after(problem(503, 86400.0), repeatable=True)
    assert raised.value.retry_after == 86400.0


@pytest.mark.parametrize("error", [problem(503, 2.0), LASTING, UnexpectedAnswerError(URL, "not ours")])
def test_errors_survive_pickling(error: RequestFailedError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), vars(again), str(again)) == (type(error), vars(error), str(error))
