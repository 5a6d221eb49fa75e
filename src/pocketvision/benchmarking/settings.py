"""What is measured, and for how long."""

from dataclasses import dataclass

from pocketvision.errors import UsageError, unknown_name
from pocketvision.runtime.backends import BACKENDS, usable_cores


@dataclass(frozen=True)
class BenchmarkSettings:
    """backends: by name; none takes those that are installed and have a file, but for torch-compiled, whose compiling takes
    longer than everything else. batches: images at once. threads: cores of a network; none takes every core. seconds: of each
    figure, in ROUNDS turns. cold: whether a new process is started for the first answer and the memory of each."""

    backends: tuple[str, ...] = ()
    batches: tuple[int, ...] = (1, 4, 8, 32)
    threads: tuple[int, ...] = ()
    seconds: float = 10.0
    cold: bool = True

    def __post_init__(self) -> None:
        for name in self.backends:
            if name not in BACKENDS:
                raise unknown_name("backend", name, BACKENDS)
        if not self.batches or min(self.batches) < 1:
            raise UsageError(f"--batches is {_said(self.batches)}; expected numbers from 1, such as 1,4,8.")
        if self.threads and min(self.threads) < 1:
            raise UsageError(f"--threads is {_said(self.threads)}; expected numbers from 1, such as 1,2.")
        if not 0 < self.seconds <= 3600:
            raise UsageError(f"--seconds is {self.seconds:g}; expected a number above 0, up to 3600.")

    @property
    def threads_measured(self) -> tuple[int, ...]:
        return self.threads or (usable_cores(),)


def _said(values: tuple[int, ...]) -> str:
    return ",".join(map(str, values)) or "empty"
