"""Limits of control groups, read from folders like /sys/fs/cgroup that the test writes."""

import os
from pathlib import Path

import pytest

from pocketvision.runtime import backends
from pocketvision.runtime.backends import usable_cores
from pocketvision.runtime.cpu_quota import cpu_quota


def quota_of(folder: Path, membership: str, files: dict[str, str]) -> float | None:
    for name, content in files.items():
        path = folder / "mount" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (folder / "membership").write_text(membership)
    return cpu_quota(folder / "membership", folder / "mount")


V1 = "9:name=systemd:/\n4:memory:/a\n3:cpuset:/b\n1:cpu,cpuacct:/docker/12ab\n0::/\n"


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {}, None),  # the host's own topmost group has no such file
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3),  # a limit further up
        ("0::/a/b\n", {"a/b/cpu.max": "50000 100000\n", "a/cpu.max": "300000 100000\n"}, 0.5),
        ("0::/../host\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/a:b\n", {"a:b/cpu.max": "200000 100000\n"}, 2),
        (V1, {"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2.5),
        (
            V1,
            {
                "cpu,cpuacct/docker/12ab/cpu.cfs_quota_us": "50000\n",
                "cpu,cpuacct/docker/12ab/cpu.cfs_period_us": "50000\n",
            },
            1,
        ),
        (V1, {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        (V1, {"cpuset/cpu.cfs_quota_us": "100000\n", "cpuset/cpu.cfs_period_us": "100000\n"}, None),
        ("0::/\n", {"cpu.max": "nonsense\n"}, None),
        ("0::/\n", {"cpu.max": "100000 0\n"}, None),
        ("0::/\n", {"cpu.max/folder": ""}, None),
        ("nonsense", {"cpu.max": "200000 100000\n"}, None),
    ],
)
def test_the_smallest_limit_counts(
    membership: str, files: dict[str, str], expected: float | None, tmp_path: Path
) -> None:
    assert quota_of(tmp_path, membership, files) == expected


def test_without_control_groups_nothing_is_limited(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path / "none", tmp_path / "neither") is None
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    assert cpu_quota(tmp_path / "bytes", tmp_path) is None


@pytest.mark.parametrize(("quota", "expected"), [(None, 64), (2.0, 2), (1.5, 2), (0.1, 1), (200.0, 64)])
def test_usable_cores_are_the_quotas_rounded_up(
    quota: float | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(backends, "cpu_quota", lambda: quota)
    assert usable_cores() == expected
