"""Kill studies at random and continue them, for an hour: nothing may be lost, different, left behind or growing.

Each run is one of `STUDIES` by one of `WAYS`, ended by SIGKILL, SIGTERM or SIGINT once or twice, continued by the same
commands, and compared bit by bit with a run that nothing disturbed. Beside them one process runs small studies all the
time and tells its memory. Ends with exit code 1 if anything is wrong; --save keeps the figures in
data/validation/soak.json.
"""

import argparse
import contextlib
import gc
import json
import logging
import os
import pathlib
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import termios
import time
from typing import NamedTuple

import dlnmc
from dlnmc import files, information, runs, studies
from dlnmc.chunks import plan_chunks, work_of_block
from dlnmc.locks import Share
from dlnmc.store import ChunkStore

RECORD = pathlib.Path(__file__).parent.parent / "data" / "validation" / "soak.json"
TABLES = """
[model]
kind = "{kind}"
{size}
[run]
burn_in = 1.0
duration = 2.0
draws = 2
"""
SOURCES = {
    "network": TABLES.format(kind="deep_linear_network", size="width = 16\nbeta = 16.0\ndepth = 2"),
    "dyson": TABLES.format(kind="dyson", size="size = 48\nbeta = 2.0"),
}
STUDIES = {  # name: source, changes; a few seconds each on two cores
    "depths": ("network", ("depth=[1, 3, 7]", "paths=40960")),
    "infinite": ("network", ("depth=inf", "kappa=0.2", "paths=6144", "dt=5e-4", "scheme=euler_maruyama")),
    "few_paths": ("network", ("width=32", "depth=[2, 5]", "paths=24", "dt=5e-6", "bins=64", "scheme=euler_maruyama")),
    "ladder": ("network", ("width=10", "paths=4096", "dt=[2e-4, 4e-4, 8e-4]")),
    "matrix": ("network", ("width=6", "depth=3", "paths=4096", "state=matrix", "dt=1e-3")),
    "dyson": ("dyson", ("paths=3072", "kappa=[0.5, 1.0]", "scheme=leimkuhler_matthews")),
    "completion": (
        "matrix-completion",
        (
            "flow.run.paths=1000",
            "langevin.run.paths=256",
            *(f"{name}.run.paths=16" for name in ("few", "many", "digit")),
        ),
    ),
}
WAYS = {"threads": 4, "processes": 3, "shares": 3, "dask": 1}  # how often of all
SHARES = 3
SIGNALS = {signal.SIGKILL: (-9,), signal.SIGTERM: (143,), signal.SIGINT: (130,)}  # and the exit codes that they make
UNCAUGHT = {signal.SIGTERM: (-15,), signal.SIGINT: (-2,)}  # before and after a command listens to signals
LOOK_SECONDS = 0.02
STATUS_SECONDS = 3.0
ENDED_SECONDS = 5.0  # from a signal to the end of a command, and to that of all its processes
HANG_SECONDS = 120.0
MOST_GROWTH = 50.0  # MB
MOST_OPEN = 4  # files more in the end
MEASURED = ("threads", "processes", "shares")  # whose commands tell what they have computed as they go
BAR = re.compile(r"([\d.]+)([kMGTP]?)/([\d.]+)([kMGTP]?) \[")
UNITS = {unit: 1e3**power for power, unit in enumerate(("", "k", "M", "G", "T", "P"))}


def small(changes):
    """What makes of a study one of few paths."""
    return [f"{change.partition('=')[0]}=8" for change in changes if "paths=" in change]


class Wrong(Exception):
    """What a soak must not see."""


class Prepared(NamedTuple):
    """A study with its undisturbed result, and the seconds of computing in it."""

    name: str
    arguments: tuple[str, ...]
    plan: studies.Study
    reference: object
    seconds: float
    work: dict

    def stored(self, out, share=None):
        """The fraction of the work that is on disk, of all or of a share."""
        if out.exists():
            return 1.0
        store = ChunkStore(runs.parts_of(out), {})
        chunks = list(self.work)[share.number - 1 :: share.total] if share else self.work
        return sum(self.work[chunk] * store.progress(chunk) for chunk in chunks) / sum(map(self.work.get, chunks))


def source_of(name, work):
    """The source of a study and its changes."""
    source, changes = STUDIES[name]
    return str(work / f"{source}.toml") if source in SOURCES else source, changes


# ---------------------------------------------------------------- commands


class Command:
    """A command in a session of its own, whose bar goes to a terminal that is read here."""

    def __init__(self, arguments, folder, share=None):
        self.arguments, self.share = arguments, share
        self._terminal, end = os.openpty()
        termios.tcsetwinsize(end, (24, 120))
        os.set_blocking(self._terminal, False)
        self.text, self.changed = "", time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", "dlnmc", *map(str, arguments)],
            stdin=subprocess.DEVNULL, stdout=end, stderr=end, start_new_session=True,
            env={**os.environ, "TMPDIR": str(folder)},
        )  # fmt: skip
        os.close(end)

    def look(self):
        """Read what it says; its exit code, None while it runs."""
        code = self.process.poll()
        with contextlib.suppress(OSError):  # nothing new, or nobody there any more
            while said := os.read(self._terminal, 65536):
                self.text, self.changed = self.text + said.decode(errors="replace"), time.monotonic()
        if time.monotonic() - self.changed > HANG_SECONDS:
            self.process.send_signal(signal.SIGABRT)  # stacks of all threads
            time.sleep(2.0)
            self.changed = time.monotonic()
            self.look()
            raise Wrong(f"no progress for {HANG_SECONDS:g} s: {self}")
        return code

    def fraction(self):
        """The fraction of its work that it has computed, by its bar; None before there is one."""
        found = BAR.findall(self.text)
        if not found:
            return None
        done, unit, total, unit_of_total = found[-1]
        return float(done) * UNITS[unit] / (float(total) * UNITS[unit_of_total])

    def others(self):
        """The processes of its session that are alive, itself not counted."""
        return [pid for pid, session, state in processes() if session == self.process.pid != pid and state not in "ZX"]

    def end(self):
        """Kill its session."""
        for pid in [*self.others(), *[self.process.pid] * (self.process.poll() is None)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._terminal)

    def __str__(self):
        said = "\n".join(line.rpartition("\r")[2] for line in self.text.replace("\r\n", "\n").splitlines()[-60:])
        return f"dlnmc {' '.join(map(str, self.arguments))}, exit code {self.process.poll()}:\n{said}"


def processes():
    """(process, session, state) of all."""
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            yield int(path.parent.name), int(fields[3]), fields[0]


def mentioned(folder):
    """The processes whose command lines name a folder."""
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(folder).encode() in path.read_bytes():
                yield int(path.parent.name)


def shared_memory(since):
    """What lies in shared memory since some time and is in use by no process."""
    folder = pathlib.Path("/dev") / "shm"
    mine = [
        path
        for pattern in ("sem.mp-*", "pym-*", "psm_*")
        for path in folder.glob(pattern)
        if path.stat().st_uid == os.getuid() and path.stat().st_mtime > since
    ]
    used = ""
    for path in pathlib.Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            used += path.read_text()
    return [path.name for path in mine if path.name not in used]


# ---------------------------------------------------------------- one run


class Soak:
    """The figures so far, and what makes them."""

    def __init__(self, seed, work):
        self.random, self.work = random.Random(seed), work
        self.commands = []
        self.runs = dict.fromkeys(WAYS, 0)
        self.kills = {number.name: 0 for number in SIGNALS}
        self.late, self.bits_different = 0, 0
        self.losses = {number.name: [] for number in SIGNALS}
        self.seconds_to_end, self.seconds_to_end_all = 0.0, 0.0

    def prepared(self, name):
        """A study, computed in this process without any disturbance."""
        source, changes = source_of(name, self.work)
        plan = studies.load(source, changes)
        members = plan.members()
        costs = [work_of_block(member.run) for member in members]
        work = {chunk: costs[chunk.member] * chunk.blocks for chunk in plan_chunks(members)}
        out = self.work / f"reference-{name}.nc"
        dlnmc.study(
            source, out, changes=(*changes, *small(changes)), threads=1, progress=False
        )  # loads what is compiled
        out.unlink()
        began = time.process_time()
        dlnmc.study(source, out, changes=changes, threads=2, progress=False)
        seconds = time.process_time() - began
        arguments = (source, *(word for change in changes for word in ("--set", change)))
        print(f"{name}: {len(work)} chunks, {seconds:.1f} s of computing", flush=True)
        return Prepared(name, arguments, plan, files.open(out), seconds, work)

    def run(self, study, way):
        """One run: killed, continued, compared."""
        number = sum(self.runs.values())
        folder, temporary = self.work / f"run-{number}", self.work / f"temporary-{number}"
        folder.mkdir()
        temporary.mkdir()
        out, before, began = folder / "out.nc", dict(self.kills), time.monotonic()
        line = ("study", *study.arguments, "-o", out, "--threads")
        with contextlib.ExitStack() as stack:
            if way == "shares":
                parts = [Share(i + 1, SHARES) for i in range(SHARES)]
                shares = [((*line, 1, "--chunk", part), part) for part in parts]
                phases = [shares[i : i + 2] for i in range(0, SHARES, 2)]
                phases.append([(("merge", out), None)])
            else:
                executor = stack.enter_context(cluster(self.work)) if way == "dask" else way
                phases = [[((*line, 2, "--executor", executor), None)]]
            for phase in phases:
                self.phase(study, way, out, temporary, phase)
        self.runs[way] += 1
        if left := [path.name for path in [*folder.iterdir(), *temporary.iterdir()] if path != out]:
            raise Wrong(f"left behind by {study.name}, {way}: {', '.join(left)}")
        if left := list(mentioned(folder)):
            raise Wrong(f"processes left behind by {study.name}, {way}: {left}")
        different = bits_different(study.reference, files.open(out))
        self.bits_different += different
        words = ", ".join(
            f"{count - before[name]} {name}" for name, count in self.kills.items() if count > before[name]
        )
        seconds = time.monotonic() - began
        print(f"{number:4} {study.name}, {way}: {words or 'in peace'}, {seconds:.0f} s", flush=True)
        if different:
            raise Wrong(f"{study.name}, {way}: {different} bits are different")
        shutil.rmtree(folder)
        shutil.rmtree(temporary)

    def phase(self, study, way, out, temporary, wanted):
        """Commands side by side, one of them killed once or twice, the same again until they are complete."""
        kills = self.random.choice((1, 1, 2)) if len(wanted) > 1 or way != "shares" else self.random.choice((0, 1))
        while wanted:
            commands = [Command(arguments, temporary, share) for arguments, share in wanted]
            self.commands += commands
            struck = number = None
            if kills:
                kills -= 1
                struck, number = self.random.choice(commands), self.random.choice(list(SIGNALS))
                if self.wait(commands, self.moment(study, struck, out), out) and struck.look() is None:
                    self.strike(study, way, out, struck, number)
                else:
                    self.late += 1
                    struck = None
            self.wait(commands, lambda: False, out)
            for command in commands:
                if command is not struck and command.process.returncode:
                    raise Wrong(f"failed: {command}")
            ended = out.exists() and not runs.parts_of(out).exists()  # a merge would say so
            codes = [command.process.returncode for command in commands]
            wanted = [] if ended else [each for each, code in zip(wanted, codes, strict=True) if code]
            for command in commands:
                command.end()
                self.commands.remove(command)

    def moment(self, study, command, out):
        """A function: whether it is time for a signal. Often anywhere in its work, also while it starts and writes."""
        kind = self.random.random()
        if kind < 0.2 or command.arguments[0] == "merge":
            target, after = None, self.random.uniform(0.0, 4.0)
        elif kind < 0.75:
            target, after = self.random.uniform(study.stored(out, command.share), 1.0), self.random.uniform(0.0, 0.5)
        else:
            target, after = 0.995, self.random.uniform(0.0, 0.6)
        at = None if target else time.monotonic() + after

        def has_come():
            nonlocal at
            if at is None and (command.fraction() or 0.0) >= target:
                at = time.monotonic() + after
            return at is not None and time.monotonic() >= at

        return has_come

    def wait(self, commands, moment, out):
        """Look after commands until a moment; whether it came before all had ended."""
        looked = time.monotonic()
        while [command for command in commands if command.look() is None]:
            if moment():
                return True
            if time.monotonic() - looked > STATUS_SECONDS:
                looked = time.monotonic()
                with contextlib.suppress(dlnmc.InvalidValue):  # not begun
                    runs.status(out)
            time.sleep(LOOK_SECONDS)
        return False

    def strike(self, study, way, out, command, number):
        """A signal for one command, and what comes of it."""
        command.look()
        computed = command.fraction()
        command.process.send_signal(number)
        struck = time.monotonic()
        self.kills[number.name] += 1
        while command.look() is None:
            if time.monotonic() - struck > ENDED_SECONDS:
                command.process.send_signal(signal.SIGABRT)
                time.sleep(1.0)
                command.look()
                raise Wrong(f"{number.name} does not end it within {ENDED_SECONDS:g} s: {command}")
            time.sleep(0.005)
        ended = time.monotonic() - struck
        self.seconds_to_end = max(self.seconds_to_end, ended)
        code, quiet = command.process.returncode, computed is None or computed > 0.99
        allowed = (0, *SIGNALS[number], *(UNCAUGHT.get(number, ()) if quiet else ()))
        if code not in allowed or ("Traceback" in command.text and not quiet):
            raise Wrong(f"ended in an odd way by {number.name}: {command}")
        while command.others():
            if time.monotonic() - struck > ENDED_SECONDS:
                raise Wrong(f"{number.name} leaves processes {command.others()}: {command}")
            time.sleep(0.02)
        self.seconds_to_end_all = max(self.seconds_to_end_all, time.monotonic() - struck)
        if computed is not None and way in MEASURED and code:
            cores = 1 if command.share else 2
            of_all = 1.0
            if command.share:
                chunks = list(study.work)
                own = chunks[command.share.number - 1 :: command.share.total]
                of_all = sum(map(study.work.get, own)) / sum(study.work.values())
            lost = max(computed - study.stored(out, command.share), 0.0) * of_all * study.seconds / cores
            self.losses[number.name].append(lost)


def bits_different(one, other):
    """How many bits of all variables of two results differ."""
    if [node.path for node in one.subtree] != [node.path for node in other.subtree]:
        raise Wrong("the groups of a result are others")
    count = 0
    for a, b in zip(one.subtree, other.subtree, strict=True):
        first, second = a.to_dataset(inherit=False), b.to_dataset(inherit=False)
        if set(first.variables) != set(second.variables):
            raise Wrong(f"the variables of {a.path} are others")
        for name in first.variables:
            x, y = first[name].to_numpy(), second[name].to_numpy()
            if (x.dtype, x.shape) != (y.dtype, y.shape):
                raise Wrong(f"{a.path}/{name} has another shape")
            if x.dtype.kind in "OUT":
                count += x.tolist() != y.tolist()
            else:
                count += (int.from_bytes(x.tobytes()) ^ int.from_bytes(y.tobytes())).bit_count()
    return count


@contextlib.contextmanager
def cluster(work):
    """The address of a local dask cluster."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL,
        local_directory=str(work / "dask"),
    ) as local:  # fmt: skip
        yield local.scheduler_address


# ---------------------------------------------------------------- the process that stays


def stay(folder, parent):
    """Run small studies until the parent is gone, and tell memory and open files after each round."""
    os.nice(10)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    while os.getppid() == parent:
        for name in STUDIES:
            source, changes = source_of(name, folder)
            for executor in ("threads", "processes") if name == "matrix" else ("threads",):
                out = folder / "staying" / "out.nc"
                dlnmc.study(
                    source, out, changes=(*changes, *small(changes)), threads=1, executor=executor, progress=False
                )
                out.unlink()
        gc.collect()
        time.sleep(1.0)  # for the processes of the last run to end
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
        memory = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
        print(json.dumps([round(memory, 1), len(os.listdir("/proc/self/fd"))]), flush=True)


def of_staying(path):
    """Rounds, memory in MB, its growth from the first third to the last, and how many more files are open."""
    rounds = [json.loads(line) for line in path.read_text().splitlines()][1:]  # the first loads what is compiled
    if len(rounds) < 3:
        return {"rounds": len(rounds), "memory_mb": None, "growth_mb": None, "more_open_files": None}
    third = len(rounds) // 3
    (before, files_before), (after, files_after) = (
        map(statistics.median, zip(*part, strict=True)) for part in (rounds[:third], rounds[-third:])
    )
    return {
        "rounds": len(rounds),
        "memory_mb": after,
        "growth_mb": round(after - before, 1),
        "more_open_files": files_after - files_before,
    }


# ---------------------------------------------------------------- all


def soak(minutes, seed, work):
    """The record of a soak, and what was wrong."""
    began, since = time.monotonic(), time.time()
    soak, wrong = Soak(seed, work), []
    for name, text in SOURCES.items():
        (work / f"{name}.toml").write_text(text)
    prepared = [soak.prepared(name) for name in STUDIES]
    ways = {way: often for way, often in WAYS.items() if way != "dask" or importable("distributed")}
    said = work / "staying.jsonl"
    with said.open("w") as output:
        line = [sys.executable, "-X", "faulthandler", __file__, "--stay", work, "--parent", str(os.getpid())]
        staying = subprocess.Popen(line, stdout=output, start_new_session=True)
    try:
        while time.monotonic() - began < 60.0 * minutes and not wrong:
            study, way = soak.random.choice(prepared), soak.random.choices(list(ways), list(ways.values()))[0]
            try:
                soak.run(study, way)
            except Wrong as error:
                wrong.append(str(error))
            if staying.poll() is not None:
                wrong.append(f"the process that stays ended with exit code {staying.returncode}")
            elif time.time() - max(said.stat().st_mtime, since) > 3.0 * HANG_SECONDS:
                staying.send_signal(signal.SIGABRT)
                wrong.append("the process that stays hangs; its stacks stand above")
    finally:
        for command in soak.commands:
            command.end()
        staying.terminate()
        staying.wait()
    stays = of_staying(said)
    cache = pathlib.Path(information.facts()["cache"])
    temporary = [path for path in cache.rglob("*.tmp*") if since < path.stat().st_mtime < time.time() - 10.0]
    record = {
        "date": time.strftime("%Y-%m-%d"),
        "kernel_hash": information.facts()["kernel_hash"],
        "minutes": round((time.monotonic() - began) / 60.0, 1),
        "seed": seed,
        "runs": soak.runs,
        "kills": soak.kills,
        "signals_too_late": soak.late,
        "bits_different": soak.bits_different,
        "lost_seconds_per_core": {  # but for the call of a kernel that was under way, at most 0.15 s
            name: {"kills": len(lost), "mean": round(statistics.fmean(lost), 2), "max": round(max(lost), 2)}
            for name, lost in soak.losses.items()
            if lost
        },
        "seconds_from_signal_to_end": round(soak.seconds_to_end, 2),
        "seconds_until_no_process_is_left": round(soak.seconds_to_end_all, 2),
        "left_in_kernel_cache": len(temporary),
        "left_in_shared_memory": len(shared_memory(since)),
        "staying": stays,
    }
    if record["left_in_kernel_cache"] or record["left_in_shared_memory"]:
        wrong.append(f"left behind: {[path.name for path in temporary]}, {shared_memory(since)}")
    if (stays["growth_mb"] or 0.0) > MOST_GROWTH or (stays["more_open_files"] or 0) > MOST_OPEN:
        wrong.append(f"the process that stays grows: {stays}")
    return record, wrong


def importable(name):
    try:
        __import__(name)
    except ImportError:
        return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long; default 60")
    parser.add_argument("--seed", type=int, default=None, help="of all that is random; default: the time")
    parser.add_argument("--save", action="store_true", help="keep the figures, if nothing was wrong")
    parser.add_argument("--stay", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--parent", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stay:
        with contextlib.suppress(KeyboardInterrupt, dlnmc.Interrupted):
            stay(options.stay, options.parent)
        return None
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also in the background, and for all commands
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    seed = int(time.time()) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="dlnmc-soak-", ignore_cleanup_errors=True) as work:
        try:
            record, wrong = soak(options.minutes, seed, pathlib.Path(work))
        except KeyboardInterrupt:
            sys.exit(130)
    print(json.dumps(record, indent=1))
    if wrong:
        sys.exit("\n".join(["WRONG", *wrong]))
    if options.save:
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
    return None


if __name__ == "__main__":
    main()
