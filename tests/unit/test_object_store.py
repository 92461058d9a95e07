"""The verbs of a store in an object store, as far as Python carries them out."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import (
    BulkSaveError,
    ExperimentResult,
    PersistenceError,
    ResultStore,
    StorePath,
    load_result,
    save_result,
    save_results,
)
from llenergymeasure.results import _durability
from llenergymeasure.results.stored import StoredResult
from llenergymeasure.results.timeseries import read_timeseries
from llenergymeasure.types import Options
from support.fake_storage import FakeStorage, install
from support.results import make_result, make_results, make_trace

ROOT = "s3://bucket/runs"
SECRET = "wJalrXUtnFEMI"  # noqa: S105 - of no service


def give_credentials() -> dict[str, str]:
    """Return credentials."""
    return {"access_key_id": "id", "secret_access_key": SECRET}


async def give_later() -> dict[str, str]:
    """Return credentials, as some providers of obstore do."""
    return give_credentials()


class GiveLater:
    """As above."""

    async def __call__(self) -> dict[str, str]:
        return give_credentials()


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[FakeStorage]:
    """Replace the object stores of the extension by a directory."""
    monkeypatch.setenv(_durability.QUIET, "1")
    return install(monkeypatch, tmp_path / "cloud")


def test_save_returns_a_store_path_that_loads() -> None:
    store = ResultStore(ROOT)
    path: Any = store.save(make_result(), make_trace())
    assert isinstance(path, StorePath)
    assert str(path).startswith(f"{ROOT}/")
    assert path.name == "result.json"
    expected = make_result().model_copy(update={"timeseries": "timeseries.parquet"})
    assert load_result(path) == load_result(str(path)) == load_result(path.parent) == expected
    assert ExperimentResult.from_json(path) == store.load(path) == store.load(path.parent.name) == expected
    assert store.load(str(path)) == store[path].load() == store[path.parent.name].load() == expected
    assert store[path].path == StoredResult(path.parent).path == path
    for place in (path, path.parent, path.parent / "timeseries.parquet", str(path)):
        assert len(read_timeseries(place)) == 2
    assert len(store[path].timeseries()) == 2
    assert [finding.field for finding in load_result(path).check()] == ["total_energy_j"]  # of the trace


def test_functions_take_urls_and_store_paths() -> None:
    result = make_result()
    paths: list[Any] = [
        result.save(ROOT),
        result.save(StorePath(ROOT)),
        save_result(result, ROOT),
        *save_results([result, result], StorePath(ROOT)),
        *ResultStore(StorePath(ROOT)).save_many([result]),
    ]
    with ResultStore(ROOT).writer() as writer:
        paths.append(writer.submit(result).result())
    assert all(isinstance(path, StorePath) for path in paths)
    assert len({*paths}) == 7
    assert ResultStore(ROOT).load_all() == [result] * 7


def test_reading_verbs_return_store_paths(fake: type[FakeStorage]) -> None:
    store = ResultStore(ROOT)
    paths: Any = store.save_many(make_results(3), timeseries_sources=[make_trace(), None, None])
    assert [stored.path for stored in store] == sorted(paths)
    Path(fake.place, "s3/bucket/runs/broken").mkdir()
    Path(fake.place, "s3/bucket/runs/broken/result.json").write_text("{")
    Path(fake.place, "s3/bucket/runs/orphan").mkdir()
    Path(fake.place, "s3/bucket/runs/orphan/.result.json.tmp").write_text("{")
    broken = StorePath(ROOT, "broken")
    scan = store.scan(["path"], on_error="collect")
    assert scan.to_pydict()["path"] == sorted(path.parent.name for path in paths)
    assert list(scan.errors) == [broken / "result.json"]
    assert store.scan_timeseries(["path"], on_error="skip").schema.names == ["path"]
    with pytest.warns(UserWarning, match="1 file was skipped"):
        assert store.completed() == {make_result().measurement_config_hash}
    found = store.verify(deep=True)
    assert found.root == StorePath(ROOT)
    assert (found.complete, [finding.path for finding in found.damaged]) == (3, [broken])
    assert [finding.path for finding in found.incomplete] == [StorePath(ROOT, "orphan")]
    assert str(found.damaged[0]).startswith(f"{broken}: ")
    cleaning = store.clean()
    assert (cleaning.root, [finding.path for finding in cleaning.young]) == (
        StorePath(ROOT),
        [StorePath(ROOT, "orphan")],
    )
    assert repr(store).startswith(f"<ResultStore '{ROOT}': 3 results")
    assert repr(cleaning) == f"<Cleaning of '{ROOT}': too young 1>"


def test_clean_leaves_leftovers_for_seven_days_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    ages: list[float] = []

    def clean(_: object, seconds: float, **__: object) -> list[Any]:
        ages.append(seconds)
        return []

    monkeypatch.setattr("llenergymeasure._store.clean", clean)
    ResultStore(ROOT).clean()
    ResultStore("results").clean()
    ResultStore(ROOT).clean(older_than="1h")
    assert ages == [7 * 86400, 86400, 3600]


def test_store_makes_one_client_per_bucket(fake: type[FakeStorage]) -> None:
    store = ResultStore(ROOT)
    assert [client.url for client in fake.made] == ["s3://bucket"]
    path: Any = store.save(make_result())
    store.load(path)
    load_result(str(path))
    ResultStore("s3://bucket/other").load_all()
    assert len(fake.made) == 1


def test_store_after_a_change_of_the_environment_makes_another_client(
    fake: type[FakeStorage], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ResultStore(ROOT)
    monkeypatch.setenv("AWS_SESSION_TOKEN", SECRET)
    store.load_all()
    monkeypatch.setenv("UNRELATED", "1")
    store.load_all()
    assert len(fake.made) == 2


def test_store_passes_options_and_credentials_on(fake: type[FakeStorage]) -> None:
    options: Options = {"endpoint": "http://127.0.0.1:9000", "allow_http": True, "timeout": 30}
    store = ResultStore(ROOT, options=options, credential_provider=give_credentials)
    client = fake.made[0]
    assert client.options == {"endpoint": "http://127.0.0.1:9000", "allow_http": "true", "timeout": "30"}
    assert client.credential_provider is give_credentials
    path: Any = store.save(make_result())
    assert load_result(path) == store.load(str(path)) == store.load(StorePath(str(path)))
    assert len(fake.made) == 1


def test_pickled_store_has_what_its_user_passed_and_no_secret_of_the_environment(
    fake: type[FakeStorage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    plain = ResultStore(ROOT)
    assert SECRET.encode() not in pickle.dumps(plain)
    assert pickle.loads(pickle.dumps(plain)) == plain  # noqa: S301 - our own
    given = ResultStore(ROOT, options={"region": "eu-west-1"}, credential_provider=give_credentials)
    copy = pickle.loads(pickle.dumps(given))  # noqa: S301 - our own
    assert copy == given == plain
    assert hash(copy) == hash(given)
    copy.save(make_result())
    assert fake.made[-1].options == {"region": "eu-west-1"}
    assert fake.made[-1].credential_provider is give_credentials


def test_texts_have_no_secrets() -> None:
    options = {"secret_access_key": SECRET}
    store = ResultStore(ROOT, options=options)
    path: Any = store.save(make_result())
    texts = [repr(store), repr(store.root), repr(path), str(path), repr(store[path]), repr(vars(store))]
    for wrong in (
        f"s3://id:{SECRET}@bucket/x",
        f"s3://id:{SECRET}/more@bucket/x",
        f"https://host/x?X-Amz-Signature={SECRET}",
        f"s3://bucket/x?key={SECRET}",
    ):
        with pytest.raises(ValueError, match="expects") as caught:
            ResultStore(wrong)
        texts.append(str(caught.value))
    with pytest.raises(TypeError) as not_text:
        ResultStore(ROOT, options={"secret_access_key": [SECRET]})  # type: ignore[dict-item]
    texts.append(str(not_text.value))
    assert SECRET not in "".join(texts)


def test_pickled_result_does_not_take_credentials_with_it() -> None:
    store = ResultStore(ROOT, options={"secret_access_key": SECRET}, credential_provider=dict)
    result = store.load(store.save(make_result(), make_trace()))
    assert SECRET.encode() not in pickle.dumps(result)
    findings = result.check()
    assert [finding.field for finding in findings] == ["total_energy_j"]  # the trace was read
    assert result.model_copy(deep=True).check() == findings


def test_constructor_rejects_wrong_options() -> None:
    with pytest.raises(ValueError, match="got 'wrong'"):
        ResultStore(ROOT, options={"wrong": "1"})
    with pytest.raises(ValueError, match="options expects the URL of an object store as root, got the path"):
        ResultStore("results", options={"region": "x"})
    with pytest.raises(ValueError, match="credential_provider expects the URL"):
        ResultStore("results", credential_provider=give_credentials)
    with pytest.raises(TypeError, match="credential_provider expects a function"):
        ResultStore(ROOT, credential_provider={"access_key_id": "x"})  # type: ignore[arg-type]
    for asynchronous in (give_later, GiveLater()):
        with pytest.raises(TypeError, match="got a coroutine function; use the synchronous form"):
            ResultStore(ROOT, credential_provider=asynchronous)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="options expects a mapping"):
        ResultStore(ROOT, options="region=x")  # type: ignore[arg-type]
    assert ResultStore("results", options={}).root == Path("results").absolute()


def test_stores_at_paths_and_urls_differ() -> None:
    assert ResultStore(ROOT) == ResultStore(f"{ROOT}/") == ResultStore(StorePath("S3://bucket//runs"))
    assert ResultStore(ROOT) != ResultStore("s3://bucket/run")
    assert ResultStore(ROOT) != ResultStore("results")


def test_load_from_a_local_store_takes_urls() -> None:
    path: Any = ResultStore(ROOT).save(make_result())
    local = ResultStore("results")
    assert local.load(path) == local.load(str(path)) == local[path].load() == make_result()


def test_load_from_a_bucket_rejects_paths_of_other_kinds() -> None:
    with pytest.raises(ValueError, match="expects a path relative to s3://bucket/runs"):
        ResultStore(ROOT).load("/x")
    with pytest.raises(ValueError, match=r"without '\.\.'"):
        ResultStore(ROOT).load("../x")
    with pytest.raises(FileNotFoundError):
        ResultStore(ROOT).load("~x")


def ids(store: ResultStore) -> list[str]:
    """Return the ids of the results of a store."""
    return sorted(result.experiment_id for result in store.iter_results())


@pytest.mark.parametrize(("source", "target"), [("here", ROOT), (ROOT, "there"), (ROOT, "s3://bucket/two")])
def test_copy_from_copies_between_disks_and_object_stores(
    source: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = ResultStore(source), ResultStore(target)
    first.save_many(make_results(3), timeseries_sources=[make_trace(), None, make_trace()])
    copying = second.copy_from(first.root)
    assert (copying.root, len(copying.copied), copying.ok) == (second.root, 3, True)
    kinds = {type(path) for path in (*copying.copied, *copying.copied.values())}
    assert kinds == {type(first.root), type(second.root)}
    assert ids(second) == ids(first) == ["experiment-0", "experiment-1", "experiment-2"]
    assert len(second.scan_timeseries().to_pydict()["path"]) == 4
    assert len(second.copy_from(first).skipped) == 3
    assert {*second.copy_from(second).skipped.values()} == {"it is in this store"}


def test_copy_from_the_same_url_at_another_endpoint_is_not_inside() -> None:
    store = ResultStore(ROOT, options={"endpoint": "http://127.0.0.1:1"})
    store.save(make_result())
    other = ResultStore(ROOT, options={"endpoint": "http://127.0.0.1:2"})
    assert {*other.copy_from(store).skipped.values()} == {"this store has the same record"}


def test_save_takes_a_power_trace_from_an_object_store(tmp_path: Path) -> None:
    path: Any = ResultStore(ROOT).save(make_result(), make_trace())
    trace = path.with_name("timeseries.parquet")
    for how in (trace, str(trace)):
        saved = ResultStore(tmp_path / "local").save(make_result(), how)
        assert len(read_timeseries(saved)) == 2
    with pytest.warns(UserWarning, match=r"timeseries source 's3://bucket/none\.parquet' does not exist"):
        ResultStore(tmp_path / "local").save(make_result(), "s3://bucket/none.parquet")


def test_save_of_a_loaded_result_without_its_trace_warns() -> None:
    store = ResultStore(ROOT)
    path: Any = store.save(make_result(), make_trace())
    with pytest.warns(UserWarning, match=f"names a power trace that was not saved with it, '{path.parent}"):
        store.save(load_result(path))


def test_load_with_a_missing_sidecar_warns_and_saves_without_a_warning(fake: type[FakeStorage]) -> None:
    store = ResultStore(ROOT)
    path: Any = store.save(make_result(), make_trace())
    Path(fake.place, "s3", str(path.parent)[5:], "timeseries.parquet").unlink()
    with pytest.warns(UserWarning, match=f"^Timeseries sidecar missing: {path} names"):
        result = store.load(path)
    store.save(result)
    assert result.check() == []


def test_first_durable_save_warns_of_a_store_that_is_not_known(
    fake: type[FakeStorage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(_durability.QUIET)
    monkeypatch.setattr(_durability, "_checked", set())
    monkeypatch.setattr(_durability, "_warned", set())
    fake.promise = ("unknown", "run llem check s3://bucket")
    store = ResultStore(ROOT)
    assert (store.durability, store.durability.reason) == ("unknown", "run llem check s3://bucket")
    writer = store.writer()
    writer.submit(make_result())
    with pytest.warns(
        UserWarning, match="durability of saves to s3://bucket/runs is unknown: run llem check"
    ):
        writer.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ResultStore("s3://bucket/two").save(make_result())
    fake.promise = ("full", "")
    assert store.durability == "full"


def test_resolve_asks_the_object_store(fake: type[FakeStorage]) -> None:
    store = ResultStore(ROOT)
    url = f"{ROOT}/name/result.json"
    error = PersistenceError(5, "no answer", url, "commit", None, 500, "REQ", "abc")
    assert error.committed is None
    fake.answers = {(url, "abc"): None}
    assert store.resolve(error) is None
    fake.answers = {(url, "abc"): url}
    assert store.resolve(error) == StorePath(url)
    assert store.resolve(PersistenceError(5, "no", url, "claim", None, 503)) is None
    assert store.resolve(PersistenceError(5, "no", url, "flush", url)) == StorePath(url)
    for other in (ResultStore("results"), ResultStore("s3://bucket/run")):
        with pytest.raises(ValueError, match="ask its own store"):
            other.resolve(error)
    with pytest.raises(TypeError, match="expects a PersistenceError, got BulkSaveError"):
        store.resolve(BulkSaveError({}, {}))  # type: ignore[arg-type]


class S3Store:
    """The shape of a store of obstore."""

    prefix: str | None = "runs"
    client_options = {"allow_http": "true"}  # noqa: RUF012 - never changed
    credential_provider = None
    config = {"bucket": "bucket", "region": "eu-west-1"}  # noqa: RUF012 - as above


class AzureStore(S3Store):
    """As above."""

    prefix = None
    config = {"container_name": "c", "account_name": "a"}  # noqa: RUF012 - as above


class LocalStore(S3Store):
    """As above."""

    prefix = "/tmp/runs"


class MemoryStore:
    """As above."""


for kind in (S3Store, AzureStore, LocalStore, MemoryStore):
    kind.__module__ = "obstore.store"


def test_store_of_obstore_becomes_a_root(fake: type[FakeStorage]) -> None:
    store = ResultStore(S3Store())
    assert (store, fake.made[0].options) == (
        ResultStore(ROOT),
        {"region": "eu-west-1", "allow_http": "true"},
    )
    assert isinstance(save_result(make_result(), S3Store()), StorePath)
    assert str(ResultStore(AzureStore()).root) == "az://c"
    assert ResultStore(LocalStore()).root == Path("/tmp/runs")
    with pytest.raises(ValueError, match="expects a store of S3, GCS or Azure, got the MemoryStore"):
        ResultStore(MemoryStore())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="root expects a path, a URL or a StorePath, got int"):
        ResultStore(1)  # type: ignore[arg-type]
