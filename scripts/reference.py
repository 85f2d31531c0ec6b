"""Make the reference data: run named studies, hold them against their checks, keep summaries in data/reference/.

`scripts/reference` runs all, in their preset quick; with names only those; a run that was interrupted is continued.
`--check` says whether the files are those of the index. Nothing is kept of a study of which a check fails.
"""

import argparse
import hashlib
import json
import pathlib
import sys
import time

import dlnmc
from dlnmc import estimates, files, findings, studies

ROOT = pathlib.Path(__file__).parent.parent
FOLDER = ROOT / "data" / "reference"
INDEX = FOLDER / "index.json"
RUNS = ROOT / "results"

THREADS = 2


def digest(path):
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def index():
    """What is kept of each study: checksums and commands."""
    return json.loads(INDEX.read_text()) if INDEX.exists() else {}


def make(name):
    """Run a study and keep its summary. Ends the script where a check fails."""
    result = RUNS / f"{name}.nc"
    tree = dlnmc.study(name, result)
    summary = dlnmc.summary(tree)
    failed = findings.failed(findings.verdicts(summary))
    if failed:
        sys.exit("\n".join([f"{name}: {len(failed)} checks fail", *failed]))
    path = files.save(summary, FOLDER / f"{name}.nc")
    found = index() | {
        name: {
            "commands": [f"dlnmc study {name} -o {name}.nc", f"dlnmc summary {name}.nc -o data/reference/{name}.nc"],
            "sha256": digest(path),
            "kernels": tree.attrs["kernel_hash"][:12],
            "seconds": round(float(tree.attrs["wall_seconds"])),
            "threads": int(tree.attrs["threads"]),
            "date": time.strftime("%Y-%m-%d"),
            "full": full_size(name, float(tree.attrs["wall_seconds"])),
        }
    }
    INDEX.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n")
    print(
        f"{path.relative_to(ROOT)}: {path.stat().st_size / 1024:.0f} KiB, {len(findings.verdicts(summary))} checks hold"
    )


def full_size(name, seconds):
    """The size of the preset full, and its hours: those of quick, as measured, by the ratio of what both promise."""
    full, quick = (
        estimates.estimate(studies.load(name, preset=preset).members(), THREADS) for preset in ("full", "quick")
    )
    hours = seconds / 3600.0 * full.seconds / quick.seconds
    return {"runs": full.runs, "paths": full.paths, "hours": float(f"{hours:.2g}"), "threads": THREADS}


def complaints():
    """What is wrong with the files that are kept."""
    kept = index()
    for name in studies.names():
        path = FOLDER / f"{name}.nc"
        if name not in kept or not path.exists():
            yield f"{name}: there is no reference data"
            continue
        if digest(path) != kept[name]["sha256"]:
            yield f"{path.relative_to(ROOT)}: not the file of the index"
            continue
        ran, now = json.loads(dlnmc.open(path).attrs["config"]), studies.load(name).tables()
        if any(ran.get(section) != now.get(section) for section in ("model", "run", "parts", "study")):
            yield f"{name}: the study was changed since"
    for path in FOLDER.glob("*.nc"):
        if path.stem not in kept:
            yield f"{path.relative_to(ROOT)}: the index does not know it"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*studies.names(), []])
    parser.add_argument("--check", action="store_true", help="only say whether the files are those of the index")
    asked = parser.parse_args()
    if asked.check:
        sys.exit("\n".join(complaints()) or 0)
    FOLDER.mkdir(exist_ok=True)
    for name in asked.names or studies.names():
        make(name)


if __name__ == "__main__":
    main()
