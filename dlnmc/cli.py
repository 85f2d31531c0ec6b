"""The command line. Everything heavy is imported when a command needs it, so that help is immediate.

Exit codes: 0 done; 1 the run failed; 2 bad input; 3 a check failed; 130 interrupted; 143 terminated.
"""

import contextlib
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from dlnmc import __version__
from dlnmc.errors import InvalidValue, RunFailed

FAILED, BAD_INPUT, CHECK_FAILED, INTERRUPTED, TERMINATED = 1, 2, 3, 130, 143
HOLDS = {True: "passed", False: "FAILED", None: "unknown"}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dlnmc")
def dlnmc() -> None:
    """Monte Carlo for the Riemannian Langevin equation of the Deep Linear Network, and for Dyson Brownian motion."""


result_argument = click.argument("result", type=click.Path(path_type=Path))


@dlnmc.command()
@click.argument("source", metavar="NAME|FILE.toml")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The netCDF file; default results/NAME.nc.")
@click.option("--paths", type=int, help="Number of paths (of each member of a sweep).")
@click.option("--seed", type=int, help="Seed, 0 to 2^64 − 1.")
@click.option("--threads", type=int, help="Number of threads or processes; default: one for each processor.")
@click.option(
    "--executor", metavar="threads|processes|ADDRESS", help="Where to compute; ADDRESS is that of a dask scheduler."
)
@click.option("--chunk", metavar="I/N", help="Compute one of N shares only, for dlnmc merge; others run elsewhere.")
@click.option("--preset", default="quick", show_default=True, help="The size: quick, full, or what else a study has.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Replace a setting, as in --set kappa=0.5.")
@click.option("--dry-run", is_flag=True, help="Only say what it will take of time, memory and disk.")
@click.option("--fresh", is_flag=True, help="Start over, where a result is, or part of one with other settings.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
def study(
    source: str,
    output: Path | None,
    paths: int | None,
    seed: int | None,
    threads: int | None,
    executor: str | None,
    chunk: str | None,
    preset: str,
    changes: tuple[str, ...],
    dry_run: bool,
    fresh: bool,
    quiet: bool,
) -> None:
    """Run a named study or one's own; the same line again continues it."""
    from dlnmc import runs, studies
    from dlnmc.locks import Share

    given = {"run.paths": paths, "run.seed": seed}
    changed = [*changes, *(f"{key}={value}" for key, value in given.items() if value is not None)]
    target = runs.output_of(studies.load(source, changed, preset), output)
    share = None if chunk is None else Share.parsed(chunk)
    how: dict[str, Any] = {"preset": preset, "changes": changed, "threads": threads, "executor": executor}
    if dry_run:
        click.echo(runs.foreseen(source, target, **how, whole=share is None).as_text())
        return
    how["progress"] = not quiet
    if share is None:
        runs.study(source, target, **how, fresh=fresh)
        click.echo(f"{target}: complete")
        return
    if fresh:
        raise InvalidValue("--fresh: shares of one run, by --chunk, do not start it over; remove its folder of parts")
    runs.share(source, target, share, **how)
    click.echo(f"share {share} of {target}: complete; when all are: dlnmc merge {target}")


@dlnmc.command()
@click.argument("output", type=click.Path(path_type=Path))
def merge(output: Path) -> None:
    """Make the result of a study from shares of it, by dlnmc study --chunk, that were computed before."""
    from dlnmc import runs

    runs.merge(output)
    click.echo(f"{output}: complete")


@dlnmc.command()
@result_argument
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The netCDF file; default RESULT, in its place.")
@click.option("--paths", type=int, help="Number of paths (of each member of a sweep).")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="draws, duration, observations or times.")
@click.option("--threads", type=int, help="Number of threads or processes; default: one for each processor.")
@click.option(
    "--executor", metavar="threads|processes|ADDRESS", help="Where to compute; ADDRESS is that of a dask scheduler."
)
@click.option("--fresh", is_flag=True, help="Start over, where part of another extension is there already.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
def extend(
    result: Path,
    output: Path | None,
    paths: int | None,
    changes: tuple[str, ...],
    threads: int | None,
    executor: str | None,
    fresh: bool,
    quiet: bool,
) -> None:
    """Continue a finished study with more paths, more draws or more times; the same line again continues that."""
    from dlnmc import extension, runs

    settings = extension.settings_of(changes) | ({} if paths is None else {"paths": paths})
    how: dict[str, Any] = {"threads": threads, "executor": executor, "progress": not quiet, "fresh": fresh}
    runs.extend(result, output, **how, **settings)
    click.echo(f"{result if output is None else output}: complete")


@dlnmc.command()
@click.argument("output", type=click.Path(path_type=Path))
def status(output: Path) -> None:
    """How far the run is that writes to a file, who runs it, at what rate, and when it will end."""
    from dlnmc import runs

    found = runs.status(output)
    click.echo(f"{output}: complete" if found is None else found.as_text(output))


@dlnmc.command()
@result_argument
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The picture; default RESULT.png.")
@click.option("--picture", metavar="NAME", help="Which of several; default the first.")
def plot(result: Path, output: Path | None, picture: str | None) -> None:
    """Draw a result."""
    from dlnmc import files, pictures

    name = result.stem if picture is None else f"{result.stem}-{picture}"
    target = output if output is not None else result.with_name(f"{name}.png")
    pictures.plot(files.open(result), target, picture=picture)
    click.echo(str(target))


@dlnmc.command()
@result_argument
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--table", metavar="NAME", help="Which of several tables.")
@click.option("--html", "as_html", is_flag=True, help="Write a page of its own instead: tables, pictures, provenance.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The page; default RESULT.html.")
def report(result: Path, as_json: bool, table: str | None, as_html: bool, output: Path | None) -> None:
    """Print the tables of a result, or write them with its pictures as a page."""
    from dlnmc import files, pages, tables

    tree = files.open(result)
    if as_html:
        target = output if output is not None else result.with_suffix(".html")
        pages.write(tree, target)
        click.echo(str(target))
    else:
        click.echo(tables.report_json(tree, table) if as_json else tables.report(tree, table))


@dlnmc.command()
@result_argument
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The netCDF file; default RESULT-summary.nc.")
def summary(result: Path, output: Path | None) -> None:
    """Keep what a result says, its tables, checks and pictures, without the states: a small file."""
    from dlnmc import files, findings

    target = output if output is not None else result.with_name(f"{result.stem}-summary.nc")
    files.save(findings.summary(files.open(result)), target)
    click.echo(str(target))


@dlnmc.command()
@result_argument
def check(result: Path) -> None:
    """Hold a result against the thresholds of its study; the exit code is 3 if one fails."""
    from dlnmc import files, findings

    held = findings.verdicts(files.open(result))
    for text, holds in held:
        click.echo(f"{HOLDS[holds]}  {text}")
    click.echo(findings.outcome(held))
    if findings.failed(held):
        sys.exit(CHECK_FAILED)


@dlnmc.command()
@click.option("--json", "as_json", is_flag=True, help="Print one object.")
def info(as_json: bool) -> None:
    """What is installed, what the machine offers, where compiled kernels are kept."""
    from dlnmc import information

    facts = information.facts()
    click.echo(json.dumps(facts, indent=1) if as_json else information.as_text(facts))


@dlnmc.command()
def schema() -> None:
    """Print the JSON schema of study files, for editors."""
    from dlnmc.studies.schema import as_text

    click.echo(as_text())


@dlnmc.command()
def warmup() -> None:
    """Compile all kernels now, so that later runs start at once.

    Those of matrix energies other than quadratic are compiled when they are first used, in about 10 to 20 seconds.
    """
    from dlnmc import warming

    warming.warm_up(progress=True)


@dlnmc.command()
@click.option("--json", "as_json", is_flag=True, help="Print one object.")
@click.option("--threads", type=int, help="The larger number of threads; default: one for each processor.")
def bench(as_json: bool, threads: int | None) -> None:
    """Measure path steps and pair interactions per second."""
    from dlnmc import benchmarks

    result = benchmarks.measure(threads)
    click.echo(json.dumps(result, indent=1) if as_json else benchmarks.as_text(result))


LAST_SECONDS = 0.7  # for threads to end, and processes with them, which then leave nothing behind
AGAIN_SECONDS = 0.05  # after an interrupt was raised where Python has to drop it
PATIENCE = 5.0  # seconds after a signal, in which others like it are heard and nothing more: work is being put away


@contextlib.contextmanager
def _signals(last: bool) -> Iterator[list[int]]:
    """Let SIGTERM end a run as Ctrl-C does, once for all that come within `PATIENCE`; the list tells which came.

    Where it is the `last` that a process does, further signals are ignored while the interpreter ends.
    """
    seen: list[int] = []
    repeated: list[threading.Timer] = []
    first, report = -math.inf, sys.unraisablehook

    def handler(number: int, frame: FrameType | None) -> None:
        nonlocal first
        seen.append(number)
        if time.monotonic() - first > PATIENCE:
            first = time.monotonic()
            raise KeyboardInterrupt

    def again() -> None:
        nonlocal first
        first = -math.inf
        signal.pthread_kill(threading.main_thread().ident or 0, seen[-1])  # it ends what the thread waits for

    def dropped(what: "sys.UnraisableHookArgs") -> None:
        """Python drops exceptions of callbacks, those of the compiler for one, and of what is collected as garbage."""
        if seen and what.exc_type is KeyboardInterrupt:
            repeated.append(threading.Timer(AGAIN_SECONDS, again))
            repeated[-1].daemon = True
            repeated[-1].start()
        else:
            report(what)

    handled = [signal.SIGTERM] + [signal.SIGINT] * (signal.getsignal(signal.SIGINT) is signal.default_int_handler)
    previous = {number: signal.signal(number, handler) for number in handled}
    sys.unraisablehook = dropped
    try:
        yield seen
    finally:
        sys.unraisablehook = report
        for timer in repeated:
            timer.cancel()
        for number, before in previous.items():
            if not (last and seen):
                signal.signal(number, before)
            else:
                signal.signal(number, signal.SIG_IGN)


def _leave(code: int, text: str = "") -> NoReturn:
    """Print one line and end the process, without waiting longer for kernels that are still being compiled."""
    if text:
        click.echo(f"dlnmc: {' '.join(text.split())}", err=True)
    end = time.monotonic() + LAST_SECONDS
    others = [thread for thread in threading.enumerate() if thread is not threading.current_thread()]
    working = [thread for thread in others if not thread.daemon]
    for thread in working:
        thread.join(max(end - time.monotonic(), 0.0))
    if any(thread.is_alive() for thread in working):
        if "dlnmc.files" in sys.modules:  # it takes long to import
            sys.modules["dlnmc.files"].undo_abandoned()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def main(arguments: list[str] | None = None) -> Any:
    """The entry point of the command line."""
    with _signals(last=arguments is None) as signals:
        try:
            words = sys.argv[1:] if arguments is None else list(arguments)
            with dlnmc.make_context("dlnmc", words) as context:  # not dlnmc.main(): it swallows what an interrupt says
                dlnmc.invoke(context)
            sys.stdout.flush()
        except click.exceptions.Exit as end:
            if end.exit_code:
                _leave(end.exit_code)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message())
        except (click.ClickException, InvalidValue) as error:
            text = error.format_message() if isinstance(error, click.ClickException) else str(error)
            _leave(BAD_INPUT, text)
        except (RunFailed, MemoryError) as error:
            _leave(FAILED, str(error) or "out of memory")
        except (KeyboardInterrupt, click.exceptions.Abort) as error:
            _leave(TERMINATED if signal.SIGTERM in signals else INTERRUPTED, str(error) or "interrupted")
        except BrokenPipeError:
            _silence_output()
            _leave(0)
        except OSError as error:  # a full disk behind the standard output, for one
            _silence_output()
            _leave(FAILED, ": ".join(filter(None, (error.filename, error.strerror or str(error)))))


def _silence_output() -> None:
    """Send what is still to be printed nowhere, or the interpreter would fail on it once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
