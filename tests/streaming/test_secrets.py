"""No source, output or server address shows its password, however it is written."""

import pytest

from pocketvision.client import Client
from pocketvision.errors import PocketVisionError, UsageError
from pocketvision.streaming.frame import SourceEvents
from pocketvision.streaming.outputs import find_output
from pocketvision.streaming.publishing import open_publisher
from pocketvision.streaming.source_settings import SourceSettings
from pocketvision.streaming.sources import SOURCES, find_source

ADDRESSES = (
    "{scheme}://me:hunter2@host/live",
    "{scheme}://me:hun@ter2@host/live",
    "{scheme}://me:hun/ter2@host/live",
    "{scheme}://me:hun#ter2@host/live?x",
    "{scheme}://me:hun%40ter2@host/live",
    "{scheme}://host/live?password=hunter2",
    "{scheme}://host/user=me_password=hunter2_channel=1.mp4",
    "{scheme}:/me:hunter2@host/x.mp4",
    "{scheme}//me:hunter2@host/x.mp4",
    "{scheme};//me:hunter2@host",
    "{scheme}://me:hunter2",
)


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("scheme", ["rtsp", "rtps", "gopher", "http", "hxttp"])
def test_a_refusal_shows_no_secret(address: str, scheme: str) -> None:
    text = address.format(scheme=scheme)

    def published() -> None:
        with open_publisher(text):
            pass

    for use in (lambda: find_source(text), lambda: find_output(text), published, lambda: Client(text).close()):
        try:
            use()
        except PocketVisionError as error:
            assert "ter2" not in str(error) and "hun" not in str(error)


@pytest.mark.parametrize("address", ["rtsp:/me:hunter2@host/x.mp4", "rtsp//me:hunter2@host/x.mp4", "ftp://host/x.mp4"])
def test_an_address_with_a_typing_error_is_no_file(address: str) -> None:
    for find in (find_source, find_output):
        with pytest.raises(UsageError):
            find(address)


@pytest.mark.parametrize("address", ["tcp://me:hun@ter2@127.0.0.1:9", "http://127.0.0.1:9/x?password=hunter2"])
def test_a_source_that_can_not_be_opened_shows_no_secret(address: str) -> None:
    with pytest.raises(PocketVisionError) as failed:
        list(SOURCES["network"].read(address, SourceSettings(), SourceEvents()))
    assert "ter2" not in str(failed.value)
