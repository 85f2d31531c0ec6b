"""The pool of threads: every task once, order of completion, clean stops."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from dlnmc.executors import run_in_threads, thread_count


def nothing():
    pass


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("tasks", [0, 1, 2, 37])
def test_every_task_is_computed_once_and_finished_in_the_calling_thread(threads, tasks):
    finished, where, running, most = [], set(), [], []

    def work(task, stopped):
        running.append(task)
        most.append(len(running))
        time.sleep(0.001)
        running.remove(task)
        return task * task

    def done(task, result):
        finished.append((task, result))
        where.add(threading.get_ident())

    run_in_threads(iter(range(tasks)), work, threads, done, nothing)
    assert sorted(finished) == [(task, task * task) for task in range(tasks)]
    assert where <= {threading.get_ident()}
    assert max(most, default=0) <= threads


def test_tasks_are_drawn_as_they_are_needed():
    """A list of tasks of any length costs no memory: few are pending at a time."""
    drawn, done = [], []

    def tasks():
        for task in range(100):
            drawn.append(task)
            assert len(drawn) - len(done) <= 2 * 2 + 1
            yield task

    run_in_threads(tasks(), lambda task, stopped: task, 2, lambda task, result: done.append(task), nothing)
    assert len(done) == 100


def test_a_slow_first_task_does_not_hold_back_the_others():
    order = []
    release = threading.Event()

    def work(task, stopped):
        if task == 0:
            assert release.wait(10)
        return task

    def done(task, result):
        order.append(task)
        if len(order) == 5:
            release.set()

    run_in_threads(range(6), work, 2, done, nothing)
    assert order[-1] == 0


def test_tick_is_called_while_tasks_run():
    ticks = []
    run_in_threads(
        [1], lambda task, stopped: time.sleep(0.45), 1, lambda *_: None, lambda: ticks.append(time.monotonic())
    )
    assert len(ticks) >= 3
    assert max(np.diff(ticks)) < 0.35


def test_a_result_of_none_is_not_finished():
    finished = []
    run_in_threads(
        range(4), lambda task, stopped: task if task % 2 else None, 2, lambda t, r: finished.append(t), nothing
    )
    assert sorted(finished) == [1, 3]


class Trouble(Exception):
    pass


@pytest.mark.parametrize("where", ["work", "finished", "tick", "tasks"])
def test_an_exception_anywhere_stops_the_workers_and_goes_on(where):
    stops, begun = [], []
    failing = threading.Event()

    def tasks():
        for task in range(50):
            if where == "tasks" and task == 6:
                raise Trouble
            yield task

    def work(task, stopped):
        begun.append(task)
        if task == 1:
            if where == "work":
                raise Trouble
            return task
        end = time.monotonic() + 10
        while not stopped():
            if where in ("finished", "tasks", "tick") and task == 2 and not failing.is_set():
                failing.set()
                return task
            if time.monotonic() > end:
                return None
            time.sleep(0.001)
        stops.append(task)
        return None

    def done(task, result):
        if where == "finished" and task == 1:
            raise Trouble

    def tick():
        if where == "tick" and failing.is_set():
            raise Trouble

    before = time.monotonic()
    with pytest.raises(Trouble):
        run_in_threads(tasks(), work, 3, done, tick)
    assert time.monotonic() - before < 1.5
    assert len(begun) <= 12
    deadline = time.monotonic() + 2
    while len(stops) < 2 and time.monotonic() < deadline:  # workers end on their own
        time.sleep(0.01)
    assert stops


def test_ctrl_c_hands_over_what_is_complete_and_stops_the_rest_at_once():
    finished = []
    both = threading.Barrier(3, timeout=10)

    def work(task, stopped):
        both.wait()
        if task == 0:
            while not stopped():  # ends after the interruption, in time
                time.sleep(0.001)
            time.sleep(0.05)
            return "late but complete"
        while not stopped():
            time.sleep(0.001)
        return None

    def interrupt():
        both.wait()
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    killer = threading.Thread(target=interrupt)
    killer.start()
    before = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_in_threads(range(2), work, 2, lambda task, result: finished.append((task, result)), nothing)
    assert time.monotonic() - before < 1.0
    killer.join()
    assert finished == [(0, "late but complete")]


def test_a_worker_that_does_not_listen_does_not_hold_up_ctrl_c():
    release = threading.Event()

    def work(task, stopped):
        release.wait(10)

    def tick():
        raise KeyboardInterrupt

    before = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_in_threads(range(8), work, 2, lambda *_: None, tick)
    assert time.monotonic() - before < 1.0
    release.set()


@pytest.mark.parametrize("threads", [0, -1, 4097, 1.5, 2.0, True, False, "2", "", [1], float("nan"), np.True_])
def test_a_bad_number_of_threads_is_refused(threads, refused):
    refused(lambda: thread_count(threads), "threads", str(threads), "whole number from 1 to 4096")


@pytest.mark.parametrize("kind", [int, np.int32, np.int64, np.uint8])
def test_a_number_of_threads_is_taken_as_it_is(kind):
    assert thread_count(kind(3)) == 3
    assert type(thread_count(kind(3))) is int


def test_the_default_is_one_thread_for_each_processor():
    assert 1 <= thread_count(None) <= (os.cpu_count() or 1)
