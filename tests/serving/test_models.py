"""Several bundles, versions, reloading under load, and what becomes of a bundle that is no good."""

import asyncio
import gc
import shutil
import threading
import time
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from served import picture, serving

from pocketvision.bundle import MANIFEST, Bundle, rewrite_bundle
from pocketvision.errors import BundleError, UsageError
from pocketvision.preprocessing import Preprocessing
from pocketvision.serving.batching import BatchSettings, DeadlineError, PreparationTimeoutError
from pocketvision.serving.keys import new_key
from pocketvision.serving.models import BundleSource, ServedModels
from pocketvision.serving.problems import UnknownModelError
from pocketvision.serving.served_model import ServedPrediction, WarmModel, open_warm
from pocketvision.serving.settings import ServerSettings
from pocketvision.serving.telemetry import Telemetry
from pocketvision.serving.watch import watch_folders

JPEG = {"content-type": "image/jpeg"}


def renamed(bundle: Bundle, *labels: str, folder: Path | None = None) -> Bundle:
    """The bundle with other labels: another version."""
    task = replace(bundle.task, labels=labels)
    return rewrite_bundle(bundle, replace(bundle.manifest, tasks={"classification": task}), folder=folder)


def loaded(*sources: BundleSource, settings: ServerSettings | None = None) -> ServedModels:
    return ServedModels(sources, settings or ServerSettings(), Telemetry())


def soon() -> float:
    return time.monotonic() + 5


def test_models_are_found_by_name_and_version(tiny_bundle: Bundle, tmp_path: Path) -> None:
    newer = renamed(tiny_bundle, "a", "b", "c", folder=tmp_path / "newer")
    with serving(tiny_bundle.folder, newer.folder) as client:
        old, new = client.get("/models").json()["models"]
        assert old["labels"] == ["red", "green", "파랑"]
        assert (old["height"], old["width"]) == (16, 16)
        for query, label in (("", "a"), (f"?version={old['version']}", "red"), (f"?version={new['version']}", "a")):
            answer = client.post(f"/predict{query}", content=picture("red"), headers=JPEG).json()
            assert answer["predictions"][0]["label"] == label
        assert client.post("/predict?model=x", content=picture("red"), headers=JPEG).status_code == 404
        metrics = client.get("/metrics").text
        assert f'pocketvision_model_info{{model="tiny",version="{new["version"]}"}} 1.0' in metrics


def test_no_more_pictures_are_decoded_at_once_than_one_model_has_threads(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = renamed(tiny_bundle, "a", "b", "c", folder=tmp_path / "newer")
    decode, decoding, most = Preprocessing.decode_image, threading.Semaphore(0), []

    def slowly(self: Preprocessing, *source: Any, **how: Any) -> Any:
        decoding.release()
        time.sleep(0.05)
        most.append(decoding._value)  # how many are in here
        decoding.acquire()
        return decode(self, *source, **how)

    async def scene(threads: int) -> int:
        models = loaded(*sources, settings=ServerSettings(threads=threads))
        await models.load()
        monkeypatch.setattr(Preprocessing, "decode_image", slowly)
        most.clear()
        await asyncio.gather(
            *(models.predict([picture("red")] * 4, deadline=soon(), name=source.name) for source in sources)
        )
        await models.close()
        return max(most)

    sources = [BundleSource("old", tiny_bundle.folder), BundleSource("new", newer.folder)]
    assert [asyncio.run(scene(threads)) for threads in (1, 2)] == [1, 2]


def test_one_image_that_hangs_is_a_decoder_less_for_all(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = renamed(tiny_bundle, "a", "b", "c", folder=tmp_path / "newer")
    hanging, decode = threading.Event(), Preprocessing.decode_image

    def decoded(self: Preprocessing, source: Any, **how: Any) -> Any:
        if source == b"hang":
            assert hanging.wait(30)
        return decode(self, source, **how)

    async def scene() -> None:
        sources = [BundleSource("old", tiny_bundle.folder), BundleSource("new", newer.folder)]
        models = loaded(*sources, settings=ServerSettings(BatchSettings(prepare_timeout=0.1), threads=2))
        await models.load()
        monkeypatch.setattr(Preprocessing, "decode_image", decoded)
        for name, free in (
            ("old", True),
            ("new", False),
        ):  # one hangs in each: both places are taken, and both have a thread
            _, (outcome,) = await models.predict([b"hang"], deadline=soon(), name=name)
            assert isinstance(outcome, PreparationTimeoutError)
            assert models.ready == free
        _, (outcome,) = await models.predict([picture("red")], deadline=time.monotonic() + 0.3, name="new")
        assert isinstance(outcome, DeadlineError)  # it waited, which is no fault of the image
        hanging.set()
        while not models.ready:
            await asyncio.sleep(0.01)
        _, (outcome,) = await models.predict([picture("red")], deadline=soon(), name="new")
        assert isinstance(outcome, ServedPrediction)
        await models.close()

    asyncio.run(scene())


def test_a_model_that_was_exchanged_is_forgotten_without_a_collection(tiny_bundle: Bundle) -> None:
    async def scene() -> None:
        source = BundleSource("tiny", tiny_bundle.folder)
        models = loaded(source)
        await models.load()
        backend = weakref.ref(models.get()._backend)
        await models.predict([picture("red")], deadline=soon())
        renamed(tiny_bundle, "a", "b", "c")
        assert [each.outcome for each in await models.reload("tiny")] == ["reloaded"]
        for _ in range(200):
            if backend() is None:
                break
            await asyncio.sleep(0.01)
        assert backend() is None
        await models.close()

    gc.disable()  # as gc.freeze has it for what was loaded at the start
    try:
        asyncio.run(scene())
    finally:
        gc.enable()


def test_what_is_no_number_is_no_answer(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(tiny_bundle.folder) as client:
        backend = client.app.state.service.models.get()._backend  # type: ignore[attr-defined]
        run = backend.run

        def broken(images: Any) -> Any:
            return {name: values * np.nan for name, values in run(images).items()}

        monkeypatch.setattr(backend, "run", broken)
        answer = client.post("/predict", content=picture("red"), headers=JPEG)
        assert (answer.status_code, answer.json()["type"]) == (500, "urn:pocketvision:problem:model-failed")


def test_the_same_bundle_twice_is_refused(tiny_bundle: Bundle, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_bundle.folder, tmp_path / "copy"))

    async def scene(*folders: Path) -> None:
        await loaded(*(BundleSource("tiny", folder) for folder in folders)).load()

    with pytest.raises(UsageError):
        asyncio.run(scene(tiny_bundle.folder, copy))
    with pytest.raises(UsageError):
        asyncio.run(scene(copy, copy))
    with pytest.raises(UsageError):
        loaded()


def test_no_request_is_lost_while_versions_are_exchanged(tiny_bundle: Bundle) -> None:
    source = BundleSource("tiny", tiny_bundle.folder)

    async def scene() -> None:
        models = loaded(source)
        await models.load()
        seen: list[str] = []
        going = True

        async def client() -> None:
            while going:
                model, (outcome,) = await models.predict([picture("red")], deadline=soon())
                assert isinstance(outcome, ServedPrediction), outcome
                assert outcome.answers["classification"].label == model.labels[0]
                seen.append(outcome.answers["classification"].label)

        clients = [asyncio.create_task(client()) for _ in range(8)]
        bundle = tiny_bundle
        for number in range(5):
            await asyncio.sleep(0.05)
            bundle = await asyncio.to_thread(renamed, bundle, f"version {number}", "b", "c")
            (reload,) = await models.reload("tiny")
            assert reload.outcome == "reloaded"
        await asyncio.sleep(0.05)
        going = False
        await asyncio.gather(*clients)
        await models.close()
        assert list(dict.fromkeys(seen)) == ["red", *(f"version {number}" for number in range(5))]

    asyncio.run(scene())


def wrong_answers(bundle: Bundle) -> None:
    golden = bundle.golden()
    from pocketvision.bundle import write_bundle

    manifest = replace(bundle.manifest, files={}, versions={})
    outputs = {"logits": golden["logits"], "probabilities": np.roll(golden["probabilities"], 1, axis=1)}
    write_bundle(
        bundle.folder, manifest, {"model.onnx": bundle.path("model.onnx").read_bytes()}, golden["images"], outputs
    )


def damaged(bundle: Bundle) -> None:
    (bundle.folder / "model.onnx").write_bytes(b"x" * (bundle.folder / "model.onnx").stat().st_size)


def deleted(bundle: Bundle) -> None:
    shutil.rmtree(bundle.folder)


@pytest.mark.parametrize("spoil", [wrong_answers, damaged, deleted])
def test_a_bad_bundle_leaves_the_old_one_at_work(tiny_bundle: Bundle, spoil) -> None:  # type: ignore[no-untyped-def]
    key, kept = new_key("admin")
    with serving(tiny_bundle.folder, settings=ServerSettings(keys=(kept,))) as client:
        client.headers["x-api-key"] = key
        before = client.get("/models").json()
        spoil(tiny_bundle)
        refused = client.post("/models/tiny/reload")
        assert refused.status_code == 409
        assert str(tiny_bundle.folder) not in refused.text
        assert client.get("/models").json() == before
        answer = client.post("/predict", content=picture("red"), headers=JPEG)
        assert answer.json()["predictions"][0]["label"] == "red"
        assert client.get("/ready").status_code == 200
        assert 'pocketvision_reloads_total{model="tiny",outcome="failed"} 1.0' in client.get("/metrics").text


def test_what_a_runtime_raises_leaves_the_old_one_at_work_too(tiny_bundle: Bundle) -> None:
    def opener(folder: Path, settings: ServerSettings) -> WarmModel:
        if wrong:
            raise MemoryError("no room")
        return open_warm(folder, settings)

    async def scene() -> None:
        models = ServedModels([BundleSource("tiny", tiny_bundle.folder)], ServerSettings(), Telemetry(), opener=opener)
        await models.load()
        wrong.append(True)
        (reload,) = await models.reload("tiny")
        assert (reload.outcome, reload.reason) == ("failed", "MemoryError")
        wrong.clear()
        (reload,) = await models.reload("tiny")
        assert reload.outcome == "unchanged"
        await models.close()

    wrong: list[bool] = []
    asyncio.run(scene())


def test_a_reload_by_request_needs_keys(tiny_bundle: Bundle) -> None:
    with serving(tiny_bundle.folder) as client:
        assert client.post("/models/tiny/reload").status_code == 403
    key, kept = new_key("admin")
    with serving(tiny_bundle.folder, settings=ServerSettings(keys=(kept,))) as client:
        client.headers["x-api-key"] = key
        assert client.post("/models/tiny/reload").json()["reloads"][0]["outcome"] == "unchanged"
        renamed(tiny_bundle, "a", "b", "c")
        assert client.post("/models/tiny/reload").json()["reloads"][0]["outcome"] == "reloaded"
        assert client.get("/models").json()["models"][0]["labels"] == ["a", "b", "c"]
        assert client.post("/models/other/reload").status_code == 404


def test_a_bundle_that_is_no_good_at_the_start_is_an_error(tiny_bundle: Bundle) -> None:
    damaged(tiny_bundle)
    with pytest.raises(BundleError):
        open_warm(tiny_bundle.folder, ServerSettings())


def test_a_changed_folder_is_reloaded_once_it_is_still(tiny_bundle: Bundle, tmp_path: Path) -> None:
    async def until(models: ServedModels, label: str) -> bool:
        for _ in range(200):
            if models.get().labels[0] == label:
                return True
            await asyncio.sleep(0.02)
        return False

    async def scene() -> None:
        models = loaded(BundleSource("tiny", tiny_bundle.folder))
        await models.load()
        # Exchanged before anybody looked, as while the next of several bundles was loaded.
        await asyncio.to_thread(renamed, tiny_bundle, "g", "h", "i")
        watching = asyncio.create_task(watch_folders(models, 0.03))
        assert await until(models, "g")
        await asyncio.to_thread(renamed, tiny_bundle, "a", "b", "c")
        assert await until(models, "a")
        # Copied file by file, the manifest first, as rsync might: refused while it is half there, taken when it is whole.
        newer = await asyncio.to_thread(renamed, tiny_bundle, "d", "e", "f", folder=tmp_path / "newer")
        shutil.copy(newer.folder / MANIFEST, tiny_bundle.folder / MANIFEST)
        await asyncio.sleep(0.2)
        assert models.get().labels[0] == "d" or models.ready
        shutil.copytree(newer.folder, tiny_bundle.folder, dirs_exist_ok=True)
        assert await until(models, "d")
        shutil.rmtree(tiny_bundle.folder)
        await asyncio.sleep(0.15)
        assert models.get().labels[0] == "d"
        watching.cancel()
        await models.close()
        with pytest.raises(UnknownModelError):
            models.get("x")

    asyncio.run(scene())
