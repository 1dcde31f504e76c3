"""Requests that the service refuses, and its messages."""

import json
import threading
from collections.abc import Iterator

import pytest

from rlopt.serving.problems import MEDIA_TYPE
from tests.serving.conftest import Lengths, Start, titles

TOKEN = "0123456789abcdef"


def told(answer: object, status: int) -> dict[str, object]:
    """The problem, checked against RFC 9457."""
    assert answer.status_code == status, answer.text  # type: ignore[attr-defined]
    assert answer.headers["content-type"] == MEDIA_TYPE  # type: ignore[attr-defined]
    problem: dict[str, object] = answer.json()  # type: ignore[attr-defined]
    assert problem["status"] == status
    assert {"type", "title", "detail"} <= set(problem)
    return problem


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"items": []}, "#/items"),
        ({"items": [{"item_id": "a", "titles": []}]}, "#/items/0/titles"),
        ({"items": [{"item_id": " ", "titles": ["x"]}]}, "#/items/0/item_id"),
        ({"items": [{"item_id": "a", "titles": ["x", " \u3000"]}]}, "#/items/0/titles/1"),
        ({"items": [{"item_id": "a", "titles": ["x" * 5001]}]}, "#/items/0/titles/0"),
        ({"items": [{"item_id": "a", "titles": ["x"], "facts": "/etc/passwd"}]}, "#/items/0/facts"),
        ({"items": [{"item_id": "a", "titles": ["x"], "fields": {"a/b~c": {"d": 1}}}]}, "#/items/0/fields/a~1b~0c/"),
    ],
)
def test_what_does_not_fit_is_named_by_a_pointer(start: Start, body: object, pointer: str) -> None:
    client, _ = start()
    errors = told(client.post("/v1/score", json=body), 422)["errors"]
    assert isinstance(errors, list)
    assert errors[0]["pointer"].startswith(pointer)


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 422),
        (b'{"items": [{"item_id": "a", "titles": ["\\ud800"]}]}', "application/json", 422),
        (b'{"items": [{"item_id": "a", "titles": ["x"], "fields": {"p": NaN}}]}', "application/json", 422),
        (b"\xff\xfe{", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"items": [{"item_id": "a", "titles": ["x"]}]}', "text/plain", 422),  # what a form of another site can send
        (b"", "application/json", 422),
    ],
)
def test_a_body_that_is_no_json_is_a_problem(start: Start, content: bytes, kind: str, status: int) -> None:
    client, _ = start()
    told(client.post("/v1/score", content=content, headers={"content-type": kind}), status)


@pytest.mark.parametrize(
    "given",
    [{"seed": False}, {"seed": "1"}, {"n": True}, {"temperature": "1"}, {"best_of": 65}, {"keep_current": "yes"}],
)
def test_what_is_only_like_a_number_is_refused_as_the_description_says(start: Start, given: dict[str, object]) -> None:
    client, _ = start()
    (name,) = given
    errors = told(client.post("/v1/generate", json={"items": [{"item_id": "a"}], **given}), 422)["errors"]
    assert isinstance(errors, list)
    assert errors[0]["pointer"].startswith(f"#/{name}")
    described = client.get("/openapi.json").json()["components"]["schemas"]["GenerateRequest"]["properties"]
    assert described["seed"]["anyOf"][0] == {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}


def test_a_body_of_another_kind_is_told_what_to_send(start: Start) -> None:
    client, _ = start()
    body = json.dumps(titles("x"))
    for kind in ({}, {"content-type": "application/x-www-form-urlencoded"}):
        answer = client.post("/v1/score", content=body, headers=kind)
        assert "'content-type: application/json'" in str(told(answer, 422)["detail"])


def test_no_such_path_and_no_such_method(start: Start) -> None:
    client, _ = start()
    assert "/openapi.json" in str(told(client.get("/v1/nothing"), 404)["detail"])
    assert told(client.get("/v1/score"), 405)["detail"] == "This path takes POST."
    told(client.get("/v1/titles/a"), 404)


def test_a_body_too_large_is_refused_told_or_not(start: Start) -> None:
    client, service = start(max_body_kib=1)
    told(client.post("/v1/score", content=b"x" * 1025), 413)

    def chunks() -> Iterator[bytes]:
        for _ in range(4):
            yield b"x" * 400

    told(client.post("/v1/score", content=chunks()), 413)
    assert b'rlopt_errors_total{kind="too_large"} 2.0' in service.metrics.text()


def test_too_many_titles_and_items_are_refused(start: Start) -> None:
    client, _ = start(max_titles=3, max_items=1)
    assert client.post("/v1/score", json=titles("a", "b", "c")).status_code == 200
    assert "split it" in str(told(client.post("/v1/score", json=titles("a", "b", "c", "d")), 413)["detail"])
    told(client.post("/v1/generate", json={"items": [{"item_id": "a"}, {"item_id": "b"}]}), 413)


def test_an_item_to_write_for_may_be_there_once(start: Start) -> None:
    client, _ = start()
    told(client.post("/v1/generate", json={"items": [{"item_id": "a"}, {"item_id": "a "}]}), 422)


def test_a_run_without_a_policy_says_what_to_run(start: Start) -> None:
    client, _ = start(Lengths(cannot_generate="Run first: rlopt ppo"))
    assert (
        told(client.post("/v1/generate", json={"items": [{"item_id": "a"}]}), 503)["detail"] == "Run first: rlopt ppo"
    )


def test_a_request_that_takes_too_long_is_given_up(start: Start) -> None:
    models = Lengths()
    client, _ = start(models, timeout=0.2)
    told(client.post("/v1/score", json=titles("wait")), 504)
    models.go.set()
    assert client.post("/v1/score", json=titles("next")).status_code == 200


def test_a_full_queue_is_told_and_is_not_ready(start: Start) -> None:
    models = Lengths()
    client, service = start(models, max_batch=1, max_wait_ms=0)
    waiting = [
        threading.Thread(target=client.post, args=("/v1/score",), kwargs={"json": titles("wait")}) for _ in range(9)
    ]
    for thread in waiting:
        thread.start()
    assert models.begun.wait(10)
    while not service.scores.full:
        pass
    answer = client.post("/v1/score", json=titles("one more"))
    told(answer, 503)
    assert answer.headers["retry-after"] == "1"
    told(client.get("/readyz"), 503)
    assert client.get("/healthz").status_code == 200
    models.go.set()
    for thread in waiting:
        thread.join()
    assert client.get("/readyz").json() == {"status": "ready", "version": "v1"}


def test_everything_but_the_probes_needs_the_token(start: Start) -> None:
    client, _ = start(token=TOKEN)
    for path in ("/v1/titles/a", "/metrics", "/openapi.json", "/nothing"):
        assert client.get(path).headers["www-authenticate"] == "Bearer"
    told(client.post("/v1/score", json=titles("x"), headers={"Authorization": f"Bearer {TOKEN[:-1]}"}), 401)
    assert client.post("/v1/score", json=titles("x"), headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200


def test_an_unforeseen_error_says_nothing_of_itself_and_logs_no_control(
    start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    client, service = start()
    assert "broken" not in json.dumps(told(client.post("/v1/score", json=titles("break")), 500))
    assert "ValueError: broken \\x1b[31m title" in capfd.readouterr().err
    assert b'rlopt_errors_total{kind="internal"} 1.0' in service.metrics.text()


def test_paths_of_strangers_make_no_labels(start: Start) -> None:
    client, _ = start()
    client.get("/v1/titles/some-item")
    client.get("/%1b%5b31m-unknown")
    text = client.get("/metrics").text
    assert 'rlopt_requests_total{route="/v1/titles/{item_id:path}",status="404"} 1.0' in text
    assert 'rlopt_requests_total{route="other",status="404"} 1.0' in text
    assert "some-item" not in text


def test_the_description_has_examples_and_every_answer(start: Start) -> None:
    client, _ = start()
    described = client.get("/openapi.json").json()
    for path, status in (("/v1/score", "413"), ("/v1/generate", "503"), ("/v1/titles/{item_id}", "404")):
        [operation] = described["paths"][path].values()
        assert operation["description"]
        assert MEDIA_TYPE in operation["responses"][status]["content"]
        assert "$ref" in operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert "HTTPValidationError" not in described["components"]["schemas"]
    assert described["components"]["schemas"]["TitlesOfItem"]["properties"]["titles"]["examples"]
