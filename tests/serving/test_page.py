"""The page in a real browser."""

import base64
import csv
import re
import time
from pathlib import Path

from chromium import Browser, in_a_browser
from fastapi.testclient import TestClient
from served import Running, picture, serving

from pocketvision.bundle import Bundle
from pocketvision.serving.keys import new_key
from pocketvision.serving.settings import ServerSettings
from pocketvision.style import stylesheet
from pocketvision.tasks.catalog import task_named


def test_the_page_asks_nobody_else(client: TestClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert set(addresses) == {
        f"page/{name}" for name in ("style.css", "page.css", "switches.js", "camera.js", "page.js", "live.js")
    } | {"data:,"}
    for address in addresses:
        if not address.startswith("data:"):
            file = client.get(f"/{address}")
            assert file.status_code == 200
            assert "://" not in file.text
            assert not re.search(
                r"""(?:fetch|ask|URL|url)\(["'`]/""", file.text
            )  # it works behind a proxy's prefix too
    assert "://" not in page.text
    assert client.get("/page/style.css").text == stylesheet()
    assert client.get("/page/../app.py").status_code == client.get("/page/x").status_code == 404


def test_the_page_knows_whether_keys_are_wanted(tiny_bundle: Bundle) -> None:
    for keys, word in (((), "none"), ((new_key("page")[1],), "required")):
        with serving(tiny_bundle.folder, settings=ServerSettings(keys=keys)) as client:
            assert f'data-keys="{word}"' in client.get("/").text


def test_the_pages_share_the_look_of_the_report(client: TestClient) -> None:
    docs = client.get("/docs").text
    assert re.findall(r'href="([^"]*)"', docs) == ["data:,", "page/style.css", "page/page.css", "openapi.json", "./"]
    assert "/predict" in docs and "<script" not in docs and " style=" not in docs
    assert "color-scheme: light dark" in stylesheet() and "prefers-color-scheme: dark" in stylesheet()


def transfer(*contents: bytes) -> str:
    """JavaScript that makes a DataTransfer `data` with these files."""
    parts = [
        f"data.items.add(new File([Uint8Array.from(atob('{base64.b64encode(content).decode()}'), c => c.charCodeAt(0))], "
        f"'picture {number}.jpg', {{type: 'image/jpeg'}}));"
        for number, content in enumerate(contents)
    ]
    return "const data = new DataTransfer();" + "".join(parts)


@in_a_browser
def test_upload_paste_drop_camera_and_errors(start, browser: Browser) -> None:  # type: ignore[no-untyped-def]
    server: Running = start()
    browser.open(server.url)
    browser.until("document.querySelectorAll('#models option').length === 1")
    browser.screenshots("start")
    assert browser.run("document.getElementById('keys').getBoundingClientRect().height") == 0
    assert "3: red, green, 파랑" in browser.run("document.getElementById('card').textContent")
    facts = "document.getElementById('facts').innerText"
    assert re.fullmatch(r"tiny · 16 × 16 · 3 classes · \d+ kB", browser.run(facts))
    figure = (
        "{name: 'accuracy', set: 'test', value: 0.9, interval: [0.769, 0.9604], images: 40, before_compression: false}"
    )
    browser.run(f"models[0].figures = [{figure}]; models[0].bytes = 13481920; showCard(); 1")
    assert browser.run(f"measured({figure.replace('accuracy', 'R2')}, [])") == "R2 90.0 % on 40 test images (76.9–96.0)"
    for kind, name, sentence in (
        ("tags", "mAP", "mean average precision 90.0 % on 40 test images (76.9–96.0)"),
        ("number", "R2", "90.0 % of the variance of 40 test images explained (76.9–96.0)"),
    ):
        page = task_named(kind).page
        assert page is not None
        module = page.read_text(encoding="utf-8").replace("export ", "")
        browser.run(f"TEXTS.en['{kind}.figure.{name}'] = (() => {{ {module}; return texts.en['figure.{name}'] }})(); 1")
        told = f"measured({figure.replace('accuracy', name)}, [{{kind: '{kind}'}}])"
        assert browser.run(told) == sentence
    assert browser.run(facts) == "tiny · 90.0 % of 40 test images right (76.9–96.0) · 16 × 16 · 3 classes · 13.5 MB"
    for width, height in ((1280, 720), (390, 664)):  # what is done first needs no scrolling
        browser.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        ends = "['choose', 'camera'].map(id => document.getElementById(id).getBoundingClientRect().bottom)"
        assert max(browser.run(ends)) < height
    browser.call("Emulation.clearDeviceMetricsOverride")
    choose = "document.getElementById('files').onchange({target: {files: data.files}})"
    browser.run(f"(() => {{ {transfer(picture('red'), picture('파랑'))} {choose}; return 1 }})()")
    browser.until("document.querySelectorAll('#answers li').length === 2")
    said = browser.run("document.getElementById('answers').innerText")
    assert said.index("파랑") < said.index("picture 0.jpg")
    paste = "document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data}))"
    browser.run(f"(() => {{ {transfer(picture('green'))} {paste}; return 1 }})()")
    browser.until("document.querySelectorAll('#answers li').length === 3")
    drop = "document.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}))"
    notes = "data.items.add(new File(['hello'], 'notes.txt', {type: 'text/plain'}))"
    browser.run(f"(() => {{ {transfer(b'<b>no image</b>')} {notes}; {drop}; return 1 }})()")
    browser.until("document.querySelectorAll('#answers .wrong').length === 2")
    text = browser.run("document.body.innerText")
    assert text.count("notes.txt is no picture.") == text.count("The image can not be read") == 1
    assert browser.run("document.querySelector('#answers .times').open") is False  # timings are there when asked for
    browser.screenshots("answers")
    browser.run("document.getElementById('camera').click()")
    browser.until("document.querySelectorAll('#seen meter').length === 3")
    browser.screenshots("camera")
    browser.run("document.getElementById('camera').click()")
    browser.run("document.getElementById('language').onchange({target: {value: 'ko'}})")
    assert browser.run("document.querySelector('#answers-heading').textContent") == "결과"
    browser.screenshots("korean")
    server.stop()
    browser.run(f"(() => {{ {transfer(picture('red'))} {choose}; return 1 }})()")
    browser.until("document.getElementById('status').textContent.includes('연결할 수 없습니다')")
    assert browser.run("document.body.innerText").count("연결할 수 없습니다") == 1
    browser.screenshots("lost-korean")


@in_a_browser
def test_an_unsure_answer_looks_unsure_and_nothing_is_rounded_to_nothing(start, browser: Browser) -> None:  # type: ignore[no-untyped-def]
    server: Running = start()
    browser.open(server.url)
    browser.until("document.querySelectorAll('#models option').length === 1")
    assert browser.run("[0, 0.0004, 0.0006, 0.5, 0.9994, 0.9996, 1].map(percent)") == [
        "< 0.1 %",
        "< 0.1 %",
        "0.1 %",
        "50.0 %",
        "99.9 %",
        "> 99.9 %",
        "> 99.9 %",
    ]
    times = "{queue_ms: 1, decode_ms: 1, inference_ms: 1, batch: 1}"
    for name, share in (("sure", 0.9), ("unsure", 0.4)):
        top = f"[{{label: 'red', probability: {share}}}, {{label: 'green', probability: {1 - share}}}]"
        told = f"{{kind: 'classification', label: 'red', probability: {share}, top: {top}}}"
        answer = f"{{answers: {{classification: {told}}}, timings: {times}}}"
        browser.run(f"show('{name}.jpg', 'data:,', {answer}); 1")
    unsure, sure = browser.run(
        "[...document.querySelectorAll('#answers li')].map(each => [each.className, each.querySelector('figcaption').innerText])"
    )
    assert "unsure" in unsure[0] and "red?" in unsure[1] and "not sure" in unsure[1]
    assert "unsure" not in sure[0] and "red?" not in sure[1] and "not sure" not in sure[1]
    size = "parseFloat(getComputedStyle(document.querySelector('#answers li {}')).fontSize)"
    assert browser.run(size.format(".said")) > 2 * browser.run(size.format(".name"))


@in_a_browser
def test_the_api_page_is_for_everybody(start, browser: Browser) -> None:  # type: ignore[no-untyped-def]
    server: Running = start()
    browser.open(f"{server.url}/docs")
    browser.screenshots("docs")


@in_a_browser
def test_the_camera_is_live_with_a_key(start, browser: Browser) -> None:  # type: ignore[no-untyped-def]
    key, kept = new_key("page")
    server: Running = start(POCKETVISION_API_KEYS=f"{kept.name}:{kept.sha256}")
    browser.open(server.url)
    browser.until("document.getElementById('status').textContent.includes('wants a key')")
    assert browser.run("document.getElementById('keys').getBoundingClientRect().height") > 0
    browser.screenshots("key-wanted")
    browser.run("document.getElementById('key').value = 'wrong'")
    browser.run("say(''); document.getElementById('camera').click()")
    browser.until("document.getElementById('status').textContent.includes('wants a key') && !camera")
    browser.run(f"document.getElementById('key').value = {key!r}")
    browser.run("document.getElementById('key').dispatchEvent(new Event('change'))")
    browser.until("document.querySelectorAll('#models option').length === 1")
    browser.run("document.getElementById('camera').click()")
    browser.until("document.querySelectorAll('#seen meter').length === 3")
    assert browser.run("camera.socket.readyState") == 1
    browser.run("document.getElementById('camera').click()")
    _, log = server.stop()
    assert key not in log
    assert "POST" not in log


@in_a_browser
def test_answers_are_saved_for_a_spreadsheet_by_keyboard(start, browser: Browser, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    server: Running = start()
    browser.open(server.url)
    browser.until("document.querySelectorAll('#models option').length === 1")
    named = transfer(picture("파랑"), picture("red")).replace("'picture 0.jpg'", "'=1+1 \"사진\".jpg'")
    browser.run(f"(() => {{ {named} classify(data.files); return 1 }})()")
    browser.until("document.querySelectorAll('#answers li').length === 2")
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.tab_to("save")
    browser.press("Enter")
    ends = time.monotonic() + 20
    while not (tmp_path / "answers.csv").is_file():
        assert time.monotonic() < ends
        time.sleep(0.05)
    content = (tmp_path / "answers.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(content.decode("utf-8-sig").splitlines()))
    assert rows[0] == ["time", "image", "label", "probability", "problem"]
    assert [row[1:3] for row in rows[1:]] == [['\'=1+1 "사진".jpg', "파랑"], ["picture 1.jpg", "red"]]
    assert all(0.5 < float(row[3]) <= 1 for row in rows[1:])


@in_a_browser
def test_the_page_is_used_by_keyboard_and_tells_what_it_does(start, browser: Browser) -> None:  # type: ignore[no-untyped-def]
    server: Running = start()
    browser.open(server.url)
    browser.until("document.querySelectorAll('#models option').length === 1")
    browser.call("Page.enable")
    browser.call("Page.setInterceptFileChooserDialog", enabled=True)
    browser.run(
        "window.chosen = 0; document.getElementById('files').addEventListener('click', () => { window.chosen += 1 }); 1"
    )
    browser.tab_to("files")
    browser.press("Enter")
    browser.until("window.chosen === 1")
    browser.tab_to("camera")
    browser.press("Enter")
    browser.until("document.querySelectorAll('#seen meter').length === 3")
    assert browser.run("document.getElementById('camera').getAttribute('aria-pressed')") == "true"
    assert browser.run("document.getElementById('status').textContent") in ("red", "green", "파랑")  # what is read out
    assert browser.run("!document.getElementById('seen').closest('[aria-live], [role=status]')")
    browser.press("Enter")
    browser.until("camera === null")
    browser.run("navigator.mediaDevices.getUserMedia = () => Promise.reject(new Error('no camera here')); 1")
    browser.press("Enter")
    browser.until("document.getElementById('status').textContent.endsWith('no camera here')")
    browser.screenshots("no-camera")
    # Every control has a name, every meter its class, and the language that is spoken is the one that is written.
    nameless = (
        "[...document.querySelectorAll('input, select')].filter(each => !each.labels.length).map(each => each.id)"
    )
    assert browser.run(nameless) == []
    assert browser.run("[...document.querySelectorAll('button')].every(each => each.textContent.trim())")
    browser.run("document.getElementById('language').onchange({target: {value: 'ko'}})")
    assert browser.run("document.documentElement.lang") == "ko"
    assert "undefined" not in browser.run("document.body.innerText")
    assert browser.barriers() == []
    browser.run("document.querySelector('main').append(new Image()); 1")
    assert browser.barriers() == ["image-alt: <img>"]  # it does look
