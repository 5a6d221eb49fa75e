"""All settings of a server, in one frozen value. The defaults are what `pocketvision serve` uses."""

from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import urlsplit

from pocketvision.errors import UsageError
from pocketvision.preprocessing import FORMATS, MAX_PIXELS
from pocketvision.runtime.backends import usable_cores
from pocketvision.serving.batching import BatchSettings
from pocketvision.serving.keys import ApiKey
from pocketvision.serving.live import LiveSettings
from pocketvision.serving.origins import checked_origin, checked_public_url, checked_root_path

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class ServerSettings:
    """Sizes in bytes, times in seconds.

    backend: see runtime.backends. max_body: a request's body; max_bodies: all bodies in memory together. max_images: images a
    request. max_pixels, formats: see preprocessing.decode. max_json_depth: brackets within brackets. deadline: from a request's
    body to its answer. header_timeout, body_timeout: for a client to send them. threads: of every model, each of which decodes
    and runs the network on one core; None: one a core. keys: who may ask; everybody may when there are none. rate: requests
    a second and key, None without a limit. watch: seconds between looks at the bundles' folders, 0 for never. drain: for what is
    in flight when the server is stopped. socket_in_flight: requests in work on one WebSocket; socket_rate: its messages a
    second; socket_message: bytes of one; max_sockets: WebSockets at once. write_timeout: for a client to read some of what it was
    sent. live: bounds of live streams, None for a server that shows none. log_json: log JSON Lines. traces: send OpenTelemetry
    spans. workers: processes; every limit but `rate` is each process' own. keep_alive: for a client to send its next request on
    an open connection. allow_origins: of other sites' pages that may ask, `*` for all. public_url: under which users reach the
    server, where a proxy changes it; root_path: the prefix that a proxy serves it below, that of public_url when it is empty.
    """

    batches: BatchSettings = field(default_factory=BatchSettings)
    backend: str | None = None
    max_body: int = 20 * MEBIBYTE
    max_bodies: int = 160 * MEBIBYTE
    max_images: int = 32
    max_pixels: int = MAX_PIXELS
    formats: tuple[str, ...] = FORMATS
    max_json_depth: int = 16
    deadline: float = 10.0
    header_timeout: float = 10.0
    body_timeout: float = 30.0
    threads: int | None = None
    keys: tuple[ApiKey, ...] = ()
    rate: float | None = None
    watch: float = 0.0
    drain: float = 20.0
    socket_in_flight: int = 8
    socket_rate: float = 200.0
    socket_message: int = 4 * MEBIBYTE
    max_sockets: int = 64
    write_timeout: float = 20.0
    live: LiveSettings | None = None
    log_json: bool = False
    workers: int = 1
    traces: bool = False
    keep_alive: float = 5.0
    allow_origins: tuple[str, ...] = ()
    public_url: str = ""
    root_path: str = ""

    @cached_property
    def model_threads(self) -> int:
        """Of every model; the same for as long as the server runs."""
        return self.threads or usable_cores()

    def __post_init__(self) -> None:
        for name in (
            "max_body",
            "max_images",
            "max_pixels",
            "max_json_depth",
            "deadline",
            "header_timeout",
            "body_timeout",
            "write_timeout",
            "keep_alive",
            "workers",
        ):
            if not getattr(self, name) > 0:  # nor nan
                raise UsageError(f"{name} is {getattr(self, name)}; expected more than 0")
        if self.max_images > self.batches.queue:
            raise UsageError(
                f"max_images is {self.max_images}, more than the queue holds ({self.batches.queue}); raise the queue or lower it"
            )
        if self.max_bodies < self.max_body:
            raise UsageError(f"max_bodies is {self.max_bodies}; expected at least max_body, {self.max_body}")
        if self.live is not None and self.workers > 1:
            raise UsageError(
                f"Live streams are shown by the one process that their frames reach, and workers is {self.workers}. "
                "Serve live streams with one worker, or start another server for them."
            )
        if self.rate is not None and not self.rate > 0:
            raise UsageError(f"rate is {self.rate}; expected more than 0 requests a second")
        self._check_addresses()

    def _check_addresses(self) -> None:
        """Bring the addresses into one form. Raises UsageError."""
        origins = tuple(dict.fromkeys(map(checked_origin, self.allow_origins)))
        public_url = checked_public_url(self.public_url) if self.public_url else ""
        below = urlsplit(public_url).path
        root_path = checked_root_path(self.root_path) or below
        if below and root_path != below:
            raise UsageError(f"root_path is {root_path} and the path of public_url {below}; give the prefix once")
        for name, value in (("allow_origins", origins), ("public_url", public_url), ("root_path", root_path)):
            object.__setattr__(self, name, value)
