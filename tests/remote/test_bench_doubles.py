"""The doubles answer as the real services do, and record what those would not accept."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from support.dialects import DIALECTS
from support.doubles import Double
from support.plain_http import CREATE, LIST, create, send

TAKEN = {
    "s3": (412, "PreconditionFailed"),
    "gcs": (412, "PreconditionFailed"),
    "azure": (409, "BlobAlreadyExists"),
}


@pytest.fixture(scope="module", params=DIALECTS)
def program(request: pytest.FixtureRequest) -> Iterator[Double]:
    with closing(Double(request.param)) as double:
        yield double


@pytest.fixture
def double(program: Double) -> Double:
    """Return a double with an empty bucket."""
    program.new_bucket("bucket")
    return program


def test_put_twice_refuses_the_second_as_the_service_does(double: Double) -> None:
    assert create(double.port, double.dialect, "a/result.json").status in (200, 201)
    second = create(double.port, double.dialect, "a/result.json", b"2")
    status, code = TAKEN[double.dialect]
    assert second.status == status
    assert code in second.body.decode()
    assert double.objects("bucket") == {"a/result.json": b"1"}
    assert double.violations() == []


def test_put_without_condition_is_a_violation(double: Double) -> None:
    headers = {name: value for name, value in CREATE[double.dialect].items() if "match" not in name.lower()}
    assert send(double.port, "PUT", "/bucket/a", headers, b"1").status in (200, 201)
    assert double.violations() == ["PUT a: not a create"]
    assert double.violations() == []


def test_put_with_the_condition_of_another_service_is_a_violation() -> None:
    with closing(Double("gcs")) as double:
        headers = {"If-None-Match": "*", "Authorization": "Bearer test"}
        assert send(double.port, "PUT", "/bucket/a", headers).status == 400
        assert double.violations() == ["PUT a: GCS ignores If-None-Match"]
    with closing(Double("s3")) as double:
        send(double.port, "PUT", "/bucket/a", CREATE["gcs"])
        assert double.violations() == ["PUT a: not a create"]


def test_put_keeps_metadata_for_head_and_get(double: Double) -> None:
    name = f"{DIALECTS[double.dialect].metadata}llemsaveid"
    headers = CREATE[double.dialect] | {name: "0123"}
    send(double.port, "PUT", "/bucket/a b", headers, b"12345")
    head = send(double.port, "HEAD", "/bucket/a b")
    assert (head.status, head.headers["content-length"], head.headers[name]) == (200, "5", "0123")
    assert {"etag", "last-modified"} <= set(head.headers)
    part = send(double.port, "GET", "/bucket/a b", {"Range": "bytes=1-2"})
    assert (part.status, part.body, part.headers["content-range"]) == (206, b"23", "bytes 1-2/5")
    end = send(double.port, "GET", "/bucket/a b", {"Range": "bytes=-2"})
    assert end.body == b"45"


def test_put_to_azure_rejects_names_that_azure_rejects() -> None:
    with closing(Double("azure")) as double:
        headers = CREATE["azure"] | {"x-ms-meta-llem-save-id": "1"}
        assert send(double.port, "PUT", "/bucket/a", headers).status == 400
        assert "llem-save-id" in double.violations()[0]


def test_list_gives_pages_in_the_order_of_keys(double: Double) -> None:
    keys = [f"p/{number:04}/result.json" for number in range(1500)]
    for key in [*reversed(keys), "q/other"]:
        double.put("bucket", key, b"x")
    found: list[str] = []
    token, pages = "", 0
    name = DIALECTS[double.dialect].sizes[1]
    while pages == 0 or token:
        query = LIST[double.dialect].format("p/") + (f"&{name}={token}" if token else "")
        text = send(double.port, "GET", "/bucket", query=query).body.decode()
        found += re.findall(r"<(?:Key|Name)>(p/.*?)</", text)
        token = "".join(re.findall(r"<Next(?:Marker|ContinuationToken)>(.*?)</", text))
        pages += 1
    assert (found, pages) == (keys, 2)


def test_answer_for_absent_object_or_bucket_is_404(double: Double) -> None:
    assert send(double.port, "GET", "/bucket/none").status == 404
    assert send(double.port, "GET", "/elsewhere/none").status == 404
    assert create(double.port, double.dialect, "a", bucket="elsewhere").status == 404


@pytest.mark.parametrize("conditions", ["honoured", "racy", "ignored"])
def test_race_for_one_key_has_as_many_winners_as_the_conditions_allow(conditions: str) -> None:
    with closing(Double("s3", conditions)) as double, ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda n: create(double.port, "s3", "a", b"%d" % n).status, range(16))
        assert (list(answers).count(200) > 1) == (conditions != "honoured")
        assert create(double.port, "s3", "a").status == (200 if conditions == "ignored" else 412)


def test_delete_many_removes_the_objects_and_no_others(double: Double) -> None:
    for key in ("a", "b", "c&d"):
        double.put("bucket", key, b"1")
    if double.dialect == "s3":
        body = b"<Delete><Object><Key>a</Key></Object><Object><Key>c&amp;d</Key></Object></Delete>"
        assert send(double.port, "POST", "/bucket", body=body, query="delete").status == 200
    elif double.dialect == "azure":
        part = "--x\r\nContent-ID: {}\r\n\r\nDELETE /bucket/{} HTTP/1.1\r\n\r\n\r\n"
        body = (part.format(0, "a") + part.format(1, "c%26d") + "--x--\r\n").encode()
        answer = send(double.port, "POST", "/bucket", body=body, query="restype=container&comp=batch")
        assert answer.body.count(b"202 Accepted") == 2
    else:
        assert send(double.port, "DELETE", "/bucket/a").status == 204
        assert send(double.port, "DELETE", "/bucket/c&d").status == 204
    assert double.objects("bucket") == {"b": b"1"}
