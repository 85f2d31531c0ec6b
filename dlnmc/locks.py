"""Who works in a folder: one run, or any number of different shares of one.

Locks are the operating system's, on files that say who holds them: it lets go of them when a process ends, however it
ends, so that none is ever stale. Where a file system knows no locks there are none; two runs in one place then do the
same work twice, and harm nothing.
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple, Self, TypeVar

from dlnmc.errors import InvalidValue, RunFailed

Task = TypeVar("Task")

RUN = "run.lock"
LOOK_SECONDS = 0.5  # who only looks holds a lock for a moment, and is waited for
UNKNOWN = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # a file system without locks


class Share(NamedTuple):
    """The `number`-th of `total` shares of a run, from 1."""

    number: int
    total: int

    @classmethod
    def parsed(cls, text: str) -> Self:
        """A share as it is written, I/N. Raises InvalidValue for what is none."""
        first, slash, last = text.partition("/")
        if slash and first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last) <= 10**6:
            return cls(int(first), int(last))
        raise InvalidValue(f"--chunk {text!r}: it must be I/N, with whole numbers 1 <= I <= N <= 1000000")

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"

    def of(self, tasks: Sequence[Task]) -> Sequence[Task]:
        """The tasks of a run that are this share's: every so many of them."""
        return tasks[self.number - 1 :: self.total]

    @property
    def lock(self) -> str:
        """The name of its lock file."""
        return f"share-{self.number}-of-{self.total}.lock"


@contextlib.contextmanager
def held(directory: Path, share: Share | None = None) -> Iterator[None]:
    """Hold a folder, which is made, for a whole run or one share of it; removed again if nothing was put in it.

    Raises InvalidValue, saying who holds it, where somebody does.
    """
    with contextlib.ExitStack() as stack:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            stack.callback(_tidy, directory)
            if share is None:
                stack.enter_context(_locked(directory, RUN, fcntl.LOCK_EX))
                for left in directory.glob("share-*.lock"):  # by shares that were killed: none is alive
                    left.unlink(missing_ok=True)
            else:
                stack.enter_context(_locked(directory, RUN, fcntl.LOCK_SH))
                stack.enter_context(_locked(directory, share.lock, fcntl.LOCK_EX))
        except OSError as error:
            raise RunFailed(f"{directory}: {error.strerror or error}") from None
        yield


def holders(directory: Path) -> list[str]:
    """Who holds a folder now, in words; for a run that holds it whole, and for shares."""
    found = []
    for path in sorted([directory / RUN, *directory.glob("share-*.lock")]):
        with contextlib.suppress(OSError), path.open("rb") as file:
            if not _try(file, fcntl.LOCK_SH):
                found.append(_who(path))
    return found


@contextlib.contextmanager
def _locked(directory: Path, name: str, kind: int) -> Iterator[None]:
    path = directory / name
    with contextlib.ExitStack() as stack:
        while True:
            file = stack.enter_context(path.open("ab+"))
            if not _taken(file, kind):
                raise InvalidValue(
                    f"{directory}: in use by {', '.join(holders(directory)) or 'another run'}; wait for it, end it, or "
                    "choose another output"
                )
            with contextlib.suppress(FileNotFoundError):
                if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                    break  # else somebody removed the file after it was opened here
        if kind == fcntl.LOCK_EX:
            file.truncate(0)
            file.write(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since": _now()}).encode())
            file.flush()
            stack.callback(path.unlink, missing_ok=True)
        yield


def _taken(file: IO[bytes], kind: int) -> bool:
    end = time.monotonic() + LOOK_SECONDS
    while not (taken := _try(file, kind)) and time.monotonic() < end:
        time.sleep(0.01)
    return taken


def _try(file: IO[bytes], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in UNKNOWN:
            return True
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _who(path: Path) -> str:
    what = "a run" if path.name == RUN else path.stem.replace("-", " ")
    try:
        found = json.loads(path.read_bytes())
        return f"{what}, process {found['pid']} on {found['host']} since {found['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return what


def _tidy(directory: Path) -> None:
    """Remove a folder that holds nothing but the lock of shares."""
    with contextlib.suppress(OSError):
        if [path.name for path in directory.iterdir()] == [RUN]:
            with (directory / RUN).open("rb") as file:
                if _try(file, fcntl.LOCK_EX):
                    (directory / RUN).unlink(missing_ok=True)
        directory.rmdir()
