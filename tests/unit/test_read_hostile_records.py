"""Hostile contents of a record: every reader accepts it, or reports the fault and continues."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from llenergymeasure import ExperimentResult

Answers = dict[str, Any]
LEVELS = 100_000
LISTS = "[" * LEVELS + "]" * LEVELS
OBJECTS = '{"a":' * LEVELS + "1" + "}" * LEVELS


class Hostile(NamedTuple):
    """A record and the readers that accept it; the others report its path and continue."""

    content: Callable[[str], bytes]
    load: bool = False
    scan: bool = False
    """A scan of the path alone accepts it."""
    scan_all: bool = False
    completed: bool = False
    verify: bool = False
    deep: bool = False


def in_config(value: str) -> Callable[[str], bytes]:
    return lambda good: good.replace('"model": "gpt2"', f'"model": "gpt2", "x": {value}').encode()


def instead(old: str, new: str) -> Callable[[str], bytes]:
    def replace(good: str) -> bytes:
        assert old in good
        return good.replace(old, new, 1).encode()

    return replace


# Readers skip values that they do not need; a load rejects their nesting.
SKIPPED = {"scan": True, "completed": True, "verify": True}
WHOLE = {**SKIPPED, "load": True, "scan_all": True, "deep": True}
HOSTILE = {
    "lists-open": Hostile(lambda _: b"[" * LEVELS),
    "lists": Hostile(lambda _: LISTS.encode()),
    "objects-open": Hostile(lambda _: b'{"a":' * LEVELS),
    "objects": Hostile(lambda _: OBJECTS.encode(), verify=True),
    "config-lists": Hostile(in_config(LISTS), **SKIPPED, scan_all=True),
    "config-objects": Hostile(in_config(OBJECTS), **SKIPPED),
    "field-lists": Hostile(
        instead('"process_results": []', f'"process_results": {LISTS}'), **SKIPPED, scan_all=True
    ),
    "sidecar-lists": Hostile(
        instead('"timeseries": null', f'"timeseries": {LISTS}'), scan=True, completed=True
    ),
    "version-lists": Hostile(instead('"schema_version": "2.0"', f'"schema_version": {LISTS}')),
    "unknown-lists": Hostile(instead("{", f'{{"zz": {LISTS},'), verify=True),
    "long-key": Hostile(in_config(f'1, "{"k" * 1_000_000}": 1'), **WHOLE),
    "long-number": Hostile(in_config("9" * 1_000_000), **SKIPPED, scan_all=True),
    # A load takes the last value; a table would choose silently.
    "key-twice": Hostile(
        instead('"total_tokens"', '"total_tokens": 7, "total_tokens"'),
        **(WHOLE | {"scan": False, "scan_all": False}),
    ),
    "config-key-twice": Hostile(in_config('1, "x": 2'), **(WHOLE | {"scan_all": False})),
    "invalid-utf-8": Hostile(lambda good: good.encode().replace(b"gpt2", b"gp\xff2")),
    "overlong-utf-8": Hostile(lambda good: good.encode().replace(b"gpt2", b"gp\xc0\x80")),
    "surrogate-utf-8": Hostile(lambda good: good.encode().replace(b"gpt2", b"gp\xed\xa0\x80")),
    "nul-in-string": Hostile(lambda good: good.encode().replace(b"gpt2", b"gp\0t2")),
    "nul-escape": Hostile(instead('"gpt2"', '"gp\\u0000t2"'), **WHOLE),
    "nul-between": Hostile(lambda good: good.encode().replace(b"{", b"{\0", 1)),
    "nul-at-the-end": Hostile(lambda good: good.encode() + b"\0"),
    "mark": Hostile(lambda good: b"\xef\xbb\xbf" + good.encode()),
    "utf-16": Hostile(lambda good: good.encode("utf-16")),
    "utf-16-unmarked": Hostile(lambda good: good.encode("utf-16-le")),
    "utf-32": Hostile(lambda good: good.encode("utf-32")),
    "high-surrogate": Hostile(in_config('"\\ud800"'), **SKIPPED),
    "low-surrogate": Hostile(in_config('"\\udc00x"'), **SKIPPED),
    "surrogate-key": Hostile(in_config('1, "\\ud800": 1'), **SKIPPED),
    "surrogates-swapped": Hostile(in_config('"\\udc00\\ud800"'), **SKIPPED),
    "infinite": Hostile(in_config("1e999"), **WHOLE),
    "infinite-field": Hostile(
        instead('"total_energy_j": 250.5', '"total_energy_j": 1e999'), **(WHOLE | {"scan_all": False})
    ),
    "minus-nought": Hostile(in_config('-0, "y": -0.0, "z": -0e-999'), **WHOLE),
    "huge-integer": Hostile(in_config("1" + "0" * 4000), **WHOLE),
    "huge-field": Hostile(
        instead('"total_tokens": 1000', '"total_tokens": 1' + "0" * 400), **(WHOLE | {"scan_all": False})
    ),
    # Not JSON, but other Python writers produce it, and a load accepts it.
    "nan": Hostile(in_config("NaN"), load=True, completed=True),
    "comment": Hostile(instead("{", "{ // a comment\n")),
    "comma": Hostile(lambda good: good.rstrip().removesuffix("}").encode() + b",}"),
    "two": Hostile(lambda good: (good + good).encode(), completed=True),
}


@pytest.fixture(scope="module")
def answers(
    tmp_path_factory: pytest.TempPathFactory,
    make_result: Callable[..., ExperimentResult],
    read_by_all: Callable[..., Answers],
) -> Answers:
    """Return the answer of each reader to all hostile records between two valid ones."""
    root = tmp_path_factory.mktemp("hostile") / "results"
    good = make_result().model_dump_json(indent=2)
    # Different hashes let `completed` distinguish the records.
    records = {name: good.replace("0123456789abcdef", name) for name in ("a", *HOSTILE, "z")}
    for name, record in records.items():
        content = HOSTILE[name].content(record) if name in HOSTILE else record.encode()
        (root / name).mkdir(parents=True)
        (root / name / "result.json").write_bytes(content)
        assert (name in HOSTILE) == (content != record.encode()), name
    return read_by_all(root) | {"root": root}


def taken(**fact: bool) -> set[str]:
    ((name, _),) = fact.items()
    return {"a", "z", *(case for case, hostile in HOSTILE.items() if getattr(hostile, name))}


@pytest.mark.parametrize("reader", ["load", "load_result", "from_json", "stored"])
def test_load_hostile_record_accepts_it_or_names_the_fault(answers: Answers, reader: str) -> None:
    output = answers[reader]
    assert {name for name, answer in output.items() if answer["raised"] is None} == taken(load=True)
    for name, answer in output.items():
        if answer["raised"] is not None:
            assert answer["raised"] == "ResultCorruptError", (name, answer)
            assert f"{answers['root'] / name / 'result.json'} (" in answer["message"]
            assert " bytes) " in answer["message"]


@pytest.mark.parametrize(
    ("readers", "fact"),
    [(("scan_collect", "scan_skip"), "scan"), (("scan_all_collect",), "scan_all")],
    ids=["path", "all"],
)
def test_scan_hostile_records_returns_a_row_or_an_error_for_each(
    answers: Answers, readers: tuple[str, ...], fact: str
) -> None:
    rows = taken(**{fact: True})
    for reader in readers:
        output = answers[reader]["returned"]
        assert set(output["path"]) == rows
        assert {path.removesuffix("/result.json") for path in output["errors"]} == {"a", "z", *HOSTILE} - rows
        assert all(str(answers["root"] / path) in document for path, document in output["errors"].items())
    first = min({"a", "z", *HOSTILE} - rows)
    stopped = answers["scan" if fact == "scan" else "scan_all"]
    assert stopped["raised"] in ("ResultCorruptError", "ResultError")
    assert f"/{first}/" in stopped["message"]


def test_load_all_next_to_hostile_records_returns_every_valid_one(answers: Answers) -> None:
    assert len(answers["load_all_skip"]["returned"]) == len(taken(load=True))
    (warned,) = answers["load_all_skip"]["warned"]
    assert f"{len(HOSTILE) + 2 - len(taken(load=True))} files were skipped" in warned
    assert answers["load_all"]["raised"] == "ResultCorruptError"


def test_completed_next_to_hostile_records_warns_once(answers: Answers) -> None:
    output = answers["completed"]
    assert set(output["returned"]) == taken(completed=True)
    (warned,) = output["warned"]
    assert f"{len(HOSTILE) + 2 - len(taken(completed=True))} files were skipped" in warned


@pytest.mark.parametrize(("reader", "fact"), [("verify", "verify"), ("verify_deep", "deep")])
def test_verify_hostile_records_counts_complete_and_damaged(answers: Answers, reader: str, fact: str) -> None:
    found = answers[reader]["returned"]
    complete = taken(**{fact: True})
    assert found["damaged"].keys() == {"a", "z", *HOSTILE} - complete
    assert found["complete"] == len(complete)
    assert found["foreign"] == found["incomplete"] == found["missing_sidecars"] == {}


def test_llem_with_hostile_records_reports_each_on_one_line(answers: Answers) -> None:
    for name, answer in answers["llem_show"].items():
        output = answer["returned"]
        assert answer["raised"] is None, (name, answer)
        assert output["status"] == (0 if name in taken(load=True) else 1), (name, output)
        assert "Traceback" not in output["err"]
        assert output["status"] == 0 or output["err"].count("\n") == 1
    assert answers["llem_ls"]["returned"]["status"] == answers["llem_verify"]["returned"]["status"] == 1
    assert answers["clean"]["returned"] == {"removed": [], "kept": []}


def test_read_timeseries_next_to_hostile_records_finds_none(answers: Answers) -> None:
    for reader in ("read_timeseries", "stored_timeseries"):
        assert {answer["raised"] for answer in answers[reader].values()} <= {"PersistenceError"}
    assert answers["scan_timeseries_collect"]["raised"] is None
