"""What somebody who looks for a network says of data, device and budgets."""

from dataclasses import dataclass

from pocketvision.errors import UsageError, unknown_name

GOALS = ("real-time", "accurate", "battery")


@dataclass(frozen=True)
class Device:
    """Where a network runs. precision: what to run it in, bytes of a weight then. plain: whether gates and swishes fall back to
    something slow, so that networks of plain convolutions and ReLU are taken. dense: whether depthwise convolutions leave it
    waiting for memory. most_macs: beyond which a frame takes too long to be called fluent, in millions."""

    precision: str
    bytes: int
    plain: bool
    dense: bool
    most_macs: float
    reason: str


DEVICES: dict[str, Device] = {
    "cpu": Device("int8", 1, False, False, 5000, "a CPU's caches take depthwise layers well, and int8 halves its time"),
    "gpu": Device("float16", 2, False, True, 60000, "a GPU's matrix units want dense convolutions"),
    "small-gpu": Device(
        "float16", 2, False, True, 10000, "a small GPU (Jetson, a laptop's) wants dense convolutions, and few"
    ),
    "phone": Device("int8", 1, True, False, 1000, "a phone's accelerator runs plain convolutions and ReLU6 in int8"),
    "npu": Device(
        "int8", 1, True, False, 3000, "an NPU runs plain convolutions in int8; what it lacks falls back to a CPU"
    ),
    "browser": Device(
        "float32", 4, False, False, 600, "a browser fetches the file first, and computes in WebAssembly or WebGPU"
    ),
}
"""By name."""


@dataclass(frozen=True)
class Wishes:
    """device: a row of DEVICES. goal: of GOALS. pictures, classes: of the training; None where nobody knows yet. picture_size:
    pixels of the pictures' longer side. latency: milliseconds of one image. megabytes: of the shipped file. minutes: of the
    training. size: the input's side that is wanted."""

    device: str = "cpu"
    goal: str = "accurate"
    pictures: int | None = None
    classes: int | None = None
    picture_size: int | None = None
    latency: float | None = None
    megabytes: float | None = None
    minutes: float | None = None
    size: int | None = None

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise unknown_name("device", self.device, DEVICES)
        if self.goal not in GOALS:
            raise unknown_name("goal", self.goal, GOALS)
        for name in ("pictures", "classes", "picture_size", "latency", "megabytes", "minutes"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1e12:
                raise UsageError(f"--{name.replace('_', '-')} is {value}; expected a number above 0.")
        if self.size is not None and not 8 <= self.size <= 4096:
            raise UsageError(f"--size is {self.size}; expected a number of pixels from 8 to 4096.")
