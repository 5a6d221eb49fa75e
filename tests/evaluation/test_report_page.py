"""The report in a real browser, on a desk and on a telephone."""

from chromium import Browser, in_a_browser

from pocketvision.evaluation.report.record import RunRecord
from pocketvision.evaluation.report.render import render_report


@in_a_browser
def test_the_report_is_for_everybody(full_record: RunRecord, browser: Browser) -> None:
    page = full_record.main.root / "report.html"
    page.write_text(render_report(full_record), encoding="utf-8")
    browser.open(page.as_uri())
    browser.run("document.querySelectorAll('details').forEach(each => { each.open = true }); 1")
    browser.screenshots("report")
    sides = (
        "[...new Set([...document.querySelectorAll('#mistakes img')].map(each => each.getBoundingClientRect().width))]"
    )
    assert len(browser.run(sides)) == 1
    browser.run("document.querySelector('.matrix td a').click(); 1")
    shown = browser.run("document.querySelector(decodeURIComponent(location.hash)).getBoundingClientRect().top")
    assert browser.run("location.hash").startswith("#mistakes-") and isinstance(shown, int | float)
