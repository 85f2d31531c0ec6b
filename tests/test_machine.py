"""Processors and memory, with a file system of the test's own."""

import os

import pytest

from dlnmc import exact_sampling, executors, machine

GIB = 2**30


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Function: write the files of control groups; this process may run on eight processors, and has 64 GiB."""
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 16 * 2**20, "SC_PAGE_SIZE": 4096}.__getitem__)

    def write(**files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")

    return write


def both():
    return executors.thread_count(None), machine.memory() / GIB


OWN = "proc/self/cgroup"
OF_TWO = {OWN: "0::/jobs/mine"}
OF_ONE = {OWN: "4:memory:/mine\n2:cpu,cpuacct:/mine\n0::/"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, (8, 64)),  # no control groups at all
        (OF_TWO, (8, 64)),
        (OF_TWO | {"sys/fs/cgroup/jobs/mine/cpu.max": "max 100000"}, (8, 64)),
        (OF_TWO | {"sys/fs/cgroup/jobs/mine/cpu.max": "300000 100000"}, (3, 64)),
        (OF_TWO | {"sys/fs/cgroup/jobs/mine/cpu.max": "150000 100000"}, (2, 64)),  # a second thread has work to do
        (OF_TWO | {"sys/fs/cgroup/jobs/mine/cpu.max": "10000 100000"}, (1, 64)),
        (OF_TWO | {"sys/fs/cgroup/jobs/mine/cpu.max": "9900000 100000"}, (8, 64)),  # more than there are
        (OF_TWO | {"sys/fs/cgroup/jobs/cpu.max": "200000 100000"}, (2, 64)),  # of the group around it
        (OF_TWO | {"sys/fs/cgroup/cpu.max": "200000 100000"}, (2, 64)),  # as a container sees it
        (OF_TWO | {"sys/fs/cgroup/jobs/mine/memory.max": str(3 * GIB)}, (8, 3)),
        (OF_TWO | {"sys/fs/cgroup/jobs/mine/memory.max": "max"}, (8, 64)),
        (OF_TWO | {"sys/fs/cgroup/jobs/mine/cpu.max": "nonsense"}, (8, 64)),
        (OF_ONE, (8, 64)),
        (
            OF_ONE
            | {
                "sys/fs/cgroup/cpu,cpuacct/mine/cpu.cfs_quota_us": "250000",
                "sys/fs/cgroup/cpu,cpuacct/mine/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/memory/mine/memory.limit_in_bytes": str(5 * GIB),
            },
            (3, 5),
        ),
        (
            OF_ONE
            | {
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
            },
            (8, 64),
        ),
    ],
)
def test_the_least_of_affinity_and_limits_counts(groups, files, expected):
    groups(**files)
    assert both() == expected


def test_what_does_not_fit_into_the_group_is_refused(groups, refused):
    groups(**OF_TWO, **{"sys/fs/cgroup/jobs/mine/memory.max": str(2 * GIB)})
    exact_sampling.refuse_more_than_fit(2**26, 2)
    refused(lambda: exact_sampling.refuse_more_than_fit(2**26 + 1, 2), f"paths = {2**26 + 1}", "2 GiB", "fewer paths")


def test_the_number_asked_for_counts_more(groups):
    groups(**OF_TWO, **{"sys/fs/cgroup/jobs/mine/cpu.max": "100000 100000"})
    assert executors.thread_count(4) == 4
