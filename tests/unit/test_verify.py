"""What is whole in a store is counted, and what is not is named."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from llenergymeasure import ExperimentResult, ResultError, ResultStore
from llenergymeasure.results import _disk, _durability
from llenergymeasure.results.timeseries import Timeseries

GIVEN = "gpt2_pytorch_2026-02-18T14-30"
TRACE = Timeseries(timestamp_s=[0.0, 1.0], gpu_index=[0, 0], power_w=[251.5, 249.0])


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "results")


def problems(findings: list[tuple[Path, str]], store: ResultStore) -> dict[str, str]:
    return {str(path.relative_to(store.root)): problem for path, problem in findings}


@pytest.mark.parametrize("deep", [False, True])
def test_whole_results_at_any_depth_are_complete(
    store: ResultStore, result: ExperimentResult, *, deep: bool
) -> None:
    store.save(result, TRACE)
    for n in range(200):
        result.save(store.root / f"study-{n % 3}", durable=False)
    seen: list[tuple[int, int | None]] = []
    found = store.verify(deep=deep, progress=lambda *told: seen.append(told))
    assert found.ok
    assert found.complete == 201
    assert found.damaged == found.incomplete == found.foreign == found.missing_sidecars == []
    assert seen[-1] == (201, None)
    assert repr(found) == f"<Verification of {str(store.root)!r}: 201 complete>"


def test_each_damage_is_named_with_its_directory(store: ResultStore, result: ExperimentResult) -> None:
    whole = result.model_dump_json().encode()
    damages = {
        "empty": (b"", "the file is empty"),
        "nul": (bytes(9), "NUL"),
        "cut": (whole[:-9], "truncated"),
        "list": (b"[]", "no JSON object"),
        "line": (whole.replace(b'"2.0"', b'"1.0"'), 'of schema line "1.0"'),
    }
    for name, (content, _) in damages.items():
        (store.root / name).mkdir(parents=True)
        (store.root / name / "result.json").write_bytes(content)
    (store.root / "directory" / "result.json").mkdir(parents=True)
    (store.root / "link").mkdir()
    (store.root / "link" / "result.json").symlink_to(store.root / "empty" / "result.json")
    found = store.verify()
    said = problems(list(found.damaged), store)
    assert not found.ok
    assert found.complete == 0
    assert said.keys() == {*damages, "directory", "link"}
    for name, (_, expected) in damages.items():
        assert expected in said[name]
    assert "not a regular file" in said["directory"]
    assert "symbolic link" in said["link"]
    assert found.damaged == sorted(found.damaged)


def test_of_a_key_that_is_there_twice_the_last_counts_as_in_loading(
    store: ResultStore, result: ExperimentResult
) -> None:
    record = store.save(result, durable=False)
    record.write_bytes(b'{"schema_version": 1e400, "timeseries": -1e400,' + record.read_bytes()[1:])
    assert store.load(record) == result
    for deep in (False, True):
        assert (store.verify(deep=deep).complete, store.verify(deep=deep).ok) == (1, True)


def test_what_a_save_left_is_incomplete_and_what_nobody_saved_is_foreign(
    store: ResultStore, result: ExperimentResult
) -> None:
    study = store.root / "study"
    result.save(study)
    for name in (GIVEN, f"{GIVEN}_1", f"{GIVEN}_2", "half", "plots/png", "traces", "empty"):
        (study / name).mkdir(parents=True)
    (study / f"{GIVEN}_1" / "timeseries.parquet").touch()
    (study / f"{GIVEN}_2" / ".timeseries.parquet.tmp").touch()
    (study / "half" / ".result.json.tmp").touch()
    (study / "plots" / "png" / "x.png").touch()
    (study / "traces" / "timeseries.parquet").touch()
    found = store.verify()
    assert found.ok
    assert found.complete == 1
    assert problems(list(found.incomplete), store) == {
        f"study/{GIVEN}": "an empty directory",
        f"study/{GIVEN}_1": "a power trace, and no record",
        f"study/{GIVEN}_2": "temporary files of a save, and no record",
        "study/half": "temporary files of a save, and no record",
    }
    assert problems(list(found.foreign), store).keys() == {"study/plots", "study/traces", "study/empty"}


def test_a_sidecar_that_is_gone_is_missed(store: ResultStore, result: ExperimentResult) -> None:
    path = store.save(result, TRACE)
    path.with_name("timeseries.parquet").unlink()
    found = store.verify()
    assert not found.ok
    assert found.complete == 1
    assert [finding.path for finding in found.missing_sidecars] == [path.parent]


def test_deep_finds_what_does_not_validate_and_traces_that_end_early(
    store: ResultStore, result: ExperimentResult, make_result: Callable[..., ExperimentResult]
) -> None:
    wrong = json.loads(result.model_dump_json()) | {"total_tokens": "many", "extra": 1}
    (store.root / "wrong").mkdir(parents=True)
    (store.root / "wrong" / "result.json").write_text(json.dumps(wrong))
    torn = store.save(make_result(), TRACE).with_name("timeseries.parquet")
    torn.write_bytes(torn.read_bytes()[:-7])
    page = store.save(make_result(), TRACE).with_name("timeseries.parquet")
    content = bytearray(page.read_bytes())
    content[4:40] = bytes(36)
    page.write_bytes(content)
    assert store.verify().ok
    found = store.verify(deep=True)
    said = {path: problem for path, problem in found.damaged}  # noqa: C416 - of named tuples
    assert found.complete == 0
    assert said.keys() == {store.root / "wrong", torn.parent, page.parent}
    assert "total_tokens: Input should be a valid integer" in said[store.root / "wrong"]
    assert ", and 1 more" in said[store.root / "wrong"]
    assert "is not a whole power trace" in said[torn.parent]
    assert "timeseries.parquet" in said[page.parent]


def test_deep_leaves_traces_that_cannot_be_unpacked_here_alone(
    store: ResultStore, result: ExperimentResult, tmp_path: Path
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"power_w": [1.0, 2.0], "samples": [[1], [2, 3]], "state": [{"a": 1}, {"a": 2}]})
    for compression in ("gzip", "snappy", "zstd", "none"):
        parquet.write_table(table, tmp_path / "x.parquet", compression=compression)
        store.save(result, tmp_path / "x.parquet")
    found = store.verify(deep=True)
    assert found.ok, found.damaged
    assert found.complete == 4


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("encoding", ["DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"])
def test_strings_whose_lengths_are_encoded_apart_are_looked_over_and_not_read(
    encoding: str, version: str, store: ResultStore, result: ExperimentResult, tmp_path: Path
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    trace = tmp_path / "x.parquet"
    parquet.write_table(
        pyarrow.table({"timestamp_s": [0.0, 1.0], "power_w": [1.0, 2.0], "phase": ["prefill", "decode"]}),
        trace,
        use_dictionary=False,
        column_encoding={"timestamp_s": "PLAIN", "power_w": "PLAIN", "phase": encoding},
        data_page_version=version,
    )
    store.save(result, trace)
    found = store.verify(deep=True)
    assert found.ok, found.damaged
    assert store.scan_timeseries(["power_w"]).to_pydict() == {"power_w": [1.0, 2.0]}
    with pytest.raises(ResultError, match="its column phase has the lengths of its strings encoded apart"):
        store.scan_timeseries(["phase"]).to_pydict()


def test_a_result_in_the_trash_of_a_cleaner_is_wrong_and_told(
    store: ResultStore, result: ExperimentResult
) -> None:
    path = store.save(result)
    trash = store.root / ".trash-0123456789abcdef"
    trash.mkdir()
    path.parent.rename(trash / path.parent.name)
    (store.root / ".trash-1").mkdir()
    found = store.verify()
    assert [finding.path for finding in found.damaged] == [trash]
    assert [finding.path.name for finding in found.incomplete] == [".trash-1"]


def test_a_directory_that_is_not_there_or_cannot_be_read_is_named(store: ResultStore) -> None:
    with pytest.raises(FileNotFoundError):
        store.verify()
    closed = store.root / "closed"
    closed.mkdir(parents=True)
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    closed.chmod(0)
    (finding,) = store.verify().damaged
    closed.chmod(0o700)
    assert finding.path == closed
    assert "Permission denied" in finding.problem


def test_an_exception_of_the_progress_comes_out(store: ResultStore, result: ExperimentResult) -> None:
    store.save(result)

    def stop(*_: object) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        store.verify(progress=stop)


def test_the_real_measurements_verify(data: Path) -> None:
    found = ResultStore(data).verify(deep=True)
    assert all("result.json" in problem or "timeseries" in problem for _, problem in found.damaged)


# What the file system promises


@pytest.fixture
def mounted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Let mountinfo have a line about everything, and nobody be warned yet."""

    def mounted(line: str) -> None:
        table = tmp_path / "mountinfo"
        table.write_bytes(b"7 0 0:1 / /x rw - " + line.encode() + b"\n")
        monkeypatch.setattr(_disk, "_MOUNTS", table)
        monkeypatch.setattr(_disk, "_mount_number", lambda _: b"7")
        monkeypatch.setattr(_durability, "_asked", set())
        monkeypatch.setattr(_durability, "_warned", set())
        monkeypatch.delenv(_durability.QUIET, raising=False)

    return mounted


@pytest.mark.parametrize(
    ("line", "promise", "reason"),
    [
        ("ext4 /dev/sda1 rw", "full", ""),
        ("overlay overlay rw,upperdir=/u", "full", ""),
        ("tmpfs none rw", "none", "this is a tmpfs, which is memory"),
        ("overlay overlay rw,volatile", "none", "mounted volatile"),
        ("overlay overlay rw,fsync=volatile", "none", "mounted volatile"),
        ("ext4 /dev/sda1 rw,nobarrier", "none", "without barriers"),
        ("nfs4 host:/x rw", "unknown", "the server of this nfs4"),
        ("fuse.sshfs host: rw", "unknown", "the program behind"),
    ],
)
def test_a_store_says_what_its_file_system_promises(
    mounted: Callable[[str], None], store: ResultStore, line: str, promise: str, reason: str
) -> None:
    mounted(line)
    durability = ResultStore(store.root / "not" / "there").durability
    assert durability == promise
    assert reason in durability.reason
    assert bool(durability.reason) == (promise != "full")
    assert durability.file_system == line.partition(" ")[0]
    assert pickle.loads(pickle.dumps(durability)).reason == durability.reason  # noqa: S301 - our own
    assert promise in repr(durability)


def test_a_system_that_does_not_tell_is_unknown(
    mounted: Callable[[str], None], store: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted("ext4 /dev/sda1 rw")
    monkeypatch.setattr(_disk, "_mount_number", lambda _: None)
    assert store.durability == "unknown"


@pytest.mark.parametrize("how", ["save", "save_many", "writer"])
def test_the_first_durable_save_where_nothing_lasts_warns_once_and_is_saved(
    mounted: Callable[[str], None], store: ResultStore, result: ExperimentResult, tmp_path: Path, how: str
) -> None:
    def save(store: ResultStore, *, durable: bool = True) -> None:
        if how == "save":
            store.save(result, durable=durable)
        elif how == "save_many":
            store.save_many([result], durable=durable)
        else:
            with store.writer(durable=durable) as writer:
                writer.submit(result)

    mounted("tmpfs none rw")
    save(store, durable=False)
    with pytest.warns(UserWarning, match="do not survive a power cut: this is a tmpfs") as warned:
        save(store)
    assert [warning.filename for warning in warned] == [__file__]
    save(store)
    save(ResultStore(tmp_path / "another"))
    assert store.verify().complete == 3


def test_the_warning_can_be_kept_back_and_does_not_come_on_a_disk(
    mounted: Callable[[str], None],
    store: ResultStore,
    result: ExperimentResult,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mounted("tmpfs none rw")
    monkeypatch.setenv(_durability.QUIET, "1")
    store.save(result)
    mounted("xfs /dev/sda1 rw")
    store.save(result)


def test_a_store_on_a_real_tmpfs_says_so(result: ExperimentResult, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        pytest.skip("there is no /dev/shm to write to")
    store = ResultStore(memory / f"llem-test-{os.getpid()}" / "x")
    if store.durability.file_system != "tmpfs":
        pytest.skip("/dev/shm is no tmpfs here")
    monkeypatch.setattr(_durability, "_asked", set())
    monkeypatch.setattr(_durability, "_warned", set())
    monkeypatch.delenv(_durability.QUIET, raising=False)
    try:
        with pytest.warns(UserWarning, match="tmpfs"):
            path = store.save(result)
    finally:
        (record,) = store.root.glob("*/*")
        record.unlink()
        record.parent.rmdir()
        store.root.rmdir()
        store.root.parent.rmdir()
    assert store.durability == "none"
    assert path == record
