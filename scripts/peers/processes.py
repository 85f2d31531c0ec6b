"""Peers in processes of their own, measured in turns: what slows the machine down for a while slows all of them."""

import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys

import peers

FOLDER = pathlib.Path(__file__).parents[1]


class Worker:
    """A process of `python -m peers` and what it said of itself: `about` has a label, or a reason to be absent."""

    def __init__(self, name, threads, core=None):
        path = os.pathsep.join(filter(None, [str(FOLDER), os.environ.get("PYTHONPATH")]))
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", "peers", name, str(threads), *([] if core is None else [str(core)])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        self.about = self.answer()

    def ask(self, problem, seconds):
        question = {"kind": problem.kind, "size": problem.size, "seconds": seconds}
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(question), file=self.process.stdin, flush=True)

    def answer(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"absent": f"its process ended, exit code {self.process.wait()}"}

    def measure(self, problem, seconds):
        self.ask(problem, seconds)
        return self.answer()

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


@contextlib.contextmanager
def workers(*described):
    """Workers from (name, threads, core), closed at the end."""
    with contextlib.ExitStack() as stack:
        opened = []
        for description in described:
            opened.append(Worker(*description))
            stack.callback(opened[-1].close)
        yield opened


def one_core():
    """The core on which peers of one thread are held, if this system can hold them."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def compare(names, problems, threads, rounds, seconds):
    """Rows of each problem and peer: its median rate, and the median over rounds of ours over its."""
    rows, core = [], one_core() if threads == 1 else None
    with workers(*((name, threads, core) for name in (peers.OURS, *names))) as opened:
        present = [worker for worker in opened if "absent" not in worker.about]
        absent = {worker.name: worker.about["absent"] for worker in opened if "absent" in worker.about}
        for problem in problems:
            able = [worker for worker in present if problem.kind in worker.about["models"]]
            print(f"  {problem.kind}, size {problem.size}", file=sys.stderr, flush=True)
            rows += compare_on(able, problem, rounds, seconds)
    return {"threads": threads, "rows": rows, "absent": absent}


def compare_on(able, problem, rounds, seconds):
    """The rows of one problem; who fails is asked no more."""
    rates, failed, paths = {worker.name: [] for worker in able}, {}, {}
    for turn in range(rounds + 1):
        for worker in able:
            if worker.name not in failed:
                answer = worker.measure(problem, seconds)
                if "rate" not in answer:
                    failed[worker.name] = answer.get("failed") or answer["absent"]
                elif turn:  # before the first, all are compiled and warm
                    rates[worker.name].append(answer["rate"])
                    paths[worker.name] = answer["paths"]
    ours = rates[peers.OURS]
    rows = []
    for worker in able:
        row = {"peer": worker.name, **{key: worker.about[key] for key in ("label", "how", "version")}}
        row |= {"model": problem.kind, "size": problem.size, "dt": problem.dt}
        if worker.name in failed:
            rows.append(row | {"failed": failed[worker.name]})
            continue
        rate = statistics.median(rates[worker.name])
        ratios = [a / b for a, b in zip(ours, rates[worker.name], strict=True)] if peers.OURS not in failed else []
        rows.append(
            row
            | {
                "paths": paths[worker.name],
                "path_steps_per_second": rate,
                "pairs_per_second": rate * problem.pairs,
                "ours_over_it": statistics.median(ratios) if ratios else None,
                "ratios": [round(ratio, 3) for ratio in ratios],
            }
        )
    return rows
