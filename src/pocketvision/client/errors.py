"""What can become of a request that is not answered: the server's problem, no connection, an answer that is none of
ours."""

from pocketvision.errors import PocketVisionError
from pocketvision.printable import bounded
from pocketvision.redaction import redacted, redacted_url


class RequestFailedError(PocketVisionError):
    """A request without the answer it wanted. `reason` is the cause alone, without the server's address `url`. Secrets in either
    are hidden: errors are printed, logged and written into rows.

    attempts: how often it was sent in all. request_id: as the server's log has it, if it ever got there.
    """

    attempts = 1
    request_id = ""

    def __init__(self, url: str, reason: str, *more: object) -> None:
        self.url = redacted_url(url)
        self.reason = redacted(reason)
        super().__init__(self.url, self.reason, *more)  # all of them, so that the error can be pickled

    def __str__(self) -> str:
        tried = f", after {self.attempts} attempts" if self.attempts > 1 else ""
        return bounded(f"{redacted_url(self.url)}: {self.reason}{tried}")


class ServerProblemError(RequestFailedError):
    """The server's own words (a problem document, RFC 9457), or the status of what stands before it.

    status: HTTP's. kind: a short name for programs, such as `queue-full`, `unreadable-image`, `unauthorized`; for an
    answer that is no problem document, HTTP's name of the status. detail: a sentence. retry_after: seconds that the
    server asked to be left alone.
    """

    def __init__(
        self, url: str, detail: str, status: int, kind: str, request_id: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(url, detail, status, kind, request_id, retry_after)
        self.status = status
        self.kind = kind
        self.detail = self.reason
        self.request_id = request_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        named = f" (request {self.request_id})" if self.request_id else ""
        return f"{super().__str__()} [{self.status} {self.kind}]{named}"


class ConnectionFailedError(RequestFailedError):
    """No connection, one that broke, or no answer in time.

    sent: whether the server may have begun to work on the request. lasting: trying again would not help (an unknown
    host, a certificate that is not trusted).
    """

    def __init__(self, url: str, reason: str, sent: bool, permanent: bool = False) -> None:
        super().__init__(url, reason, sent, permanent)
        self.sent = sent
        self.permanent = permanent


class UnexpectedAnswerError(RequestFailedError):
    """An answer of success that is not what our server would say: the address is another program's."""
