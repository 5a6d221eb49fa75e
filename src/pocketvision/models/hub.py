"""Files from the Hugging Face hub: cached, and with one clear error soon when the hub is out of reach."""

import ssl
import threading
import urllib.error
import urllib.request
from pathlib import Path

from pocketvision.errors import MissingExtraError, WeightsError
from pocketvision.redaction import redacted, redacted_url

REACH_SECONDS = 7.0
"""How long the hub may take to answer at all. A download that has begun may take longer."""


class HubUnreachableError(WeightsError):
    """The hub does not answer, may not be asked (offline mode), or broke off."""


class HubFileAbsentError(WeightsError):
    """The hub answers that the repository, or the file in it, does not exist."""


def fetch(repository: str, filename: str, *, reach_seconds: float = REACH_SECONDS) -> Path:
    """The local path of a repository's file, from the hub's cache on this machine or downloaded into it.

    HF_HUB_OFFLINE, HF_ENDPOINT and HF_HOME are huggingface_hub's own and respected. Raises HubUnreachableError that
    names the cause (offline mode, no connection, no answer within `reach_seconds`, an interrupted download) or
    HubFileAbsentError.
    """
    try:
        from huggingface_hub import constants, hf_hub_download, hf_hub_url, try_to_load_from_cache
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError
    except ImportError:
        raise MissingExtraError("Fetching weights from the Hugging Face hub", "train") from None
    # Not hf_hub_download(local_files_only=True): even that may ask the hub something, and wait for it.
    cached = try_to_load_from_cache(repository, filename)
    if isinstance(cached, str):
        return Path(cached)
    if cached is not None:
        raise HubFileAbsentError(f"{repository} has no file {filename}, by the cache.")
    hub = redacted_url(constants.ENDPOINT)
    where = f"{filename} of {repository} from {hub}"
    if constants.HF_HUB_OFFLINE:
        raise HubUnreachableError(f"Can not fetch {where}: it is not in the cache and HF_HUB_OFFLINE is set.")
    obstacle = _obstacle(hf_hub_url(repository, filename), reach_seconds)
    if obstacle is not None:
        raise HubUnreachableError(f"Can not fetch {where}: {obstacle}.")
    try:
        return Path(hf_hub_download(repository, filename))
    except RepositoryNotFoundError as error:
        raise HubFileAbsentError(f"There is no repository {repository} on {hub}, or no access.") from error
    except Exception as error:
        if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
            raise HubFileAbsentError(f"{repository} on {hub} has no file {filename}.") from error
        # huggingface_hub also lets its HTTP library's errors through, and that library differs between its versions.
        raise HubUnreachableError(f"Can not fetch {where}: {_first_line(error)}") from error


def _obstacle(url: str, seconds: float) -> str | None:
    """Why `url` can not be had now, or None when its server answers. Takes `seconds` at most.

    huggingface_hub has limits of its own, but over its retries they add up to minutes. So one byte is asked for first,
    in a thread, since name resolution knows no time limit.
    """
    obstacles: list[str | None] = []

    def ask() -> None:
        obstacles.append(_request_one_byte(url, seconds))

    thread = threading.Thread(target=ask, name="hub-reach", daemon=True)
    thread.start()
    thread.join(seconds)
    return obstacles[0] if obstacles else f"no answer within {seconds:g} seconds"


def _request_one_byte(url: str, seconds: float) -> str | None:
    request = urllib.request.Request(url, headers={"Range": "bytes=0-0"})
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            answer.read(1)
    except urllib.error.HTTPError as error:
        # Refusals (401, 403, 404) are huggingface_hub's to judge: it knows the user's token and what they mean.
        return f"the server answers {error.code} {error.reason}" if error.code >= 500 or error.code == 429 else None
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, ssl.SSLError):
            return None  # It does answer, and huggingface_hub brings certificates of its own.
        return (
            f"no answer within {seconds:g} seconds"
            if isinstance(reason, TimeoutError)
            else f"no connection ({redacted(str(reason))})"
        )
    return None


def _first_line(error: Exception) -> str:
    return redacted((str(error) or type(error).__name__).strip().splitlines()[0])
