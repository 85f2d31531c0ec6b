"""Compare speeds on this machine, as tables and, with --save, as data, page and picture.

Without names all sections but the longest are measured, in about a quarter of an hour on two idle cores; with --all
those too, in another quarter; with --quick, roughly, in two minutes or so. --page writes tables and picture again from
what was saved, --check says whether they are what it makes.
"""

import argparse
import datetime
import json
import os
import pathlib
import sys
import time
from importlib import metadata

import speeds
import speeds_page
from dlnmc import information

FACTS = ("dlnmc", "kernel_hash", "python", "numba", "machine", "cpu", "simd", "threads")
PACKAGES = ("numpy", "scipy", "llvmlite", "jax", "jaxlib", "diffrax", "torch", "torchsde")


def machine():
    """What the figures depend on."""
    facts, packages = information.facts(), {}
    for name in PACKAGES:
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            packages[name] = None
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        **{name: facts[name] for name in FACTS},
        "packages": packages,
    }


def processor():
    """Its name, where Linux tells."""
    info = pathlib.Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else None


def measure(names, effort):
    """{section: {machine, seconds, figures}}, each shown when it is done; one that breaks does not stop the others."""
    record = {}
    for name in names:
        facts, began = machine(), time.perf_counter()
        print(f"{name}: {speeds.SECTIONS[name].__doc__}", file=sys.stderr, flush=True)
        try:
            figures = speeds.SECTIONS[name](effort)
        except Exception as error:
            figures = {"absent": f"it failed: {type(error).__name__}: {error}"}
        record[name] = {"machine": facts, "seconds": round(time.perf_counter() - began, 1), "figures": figures}
        print("\n".join(speeds_page.section({name: record[name]}, name)), flush=True)
    return record


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"some of: {', '.join(speeds.SECTIONS)}")
    parser.add_argument("--all", action="store_true", help=f"also {' and '.join(speeds.LONG)}")
    parser.add_argument("--quick", action="store_true", help="small sizes, short runs, few pairs")
    parser.add_argument("--json", action="store_true", help="print the record as JSON at the end")
    parser.add_argument("--save", action="store_true", help="keep the record, and write tables and picture")
    parser.add_argument("--page", action="store_true", help="only write tables and picture from what is kept")
    parser.add_argument("--check", action="store_true", help="only see whether the tables are what is kept")
    options = parser.parse_args()
    if unknown := set(options.sections) - set(speeds.SECTIONS):
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(speeds.SECTIONS)}")
    if options.check:
        sys.exit("; ".join(speeds_page.stale()) or 0)
    if options.page:
        return speeds_page.write(speeds_page.kept())
    names = [name for name in speeds.SECTIONS if options.all or name not in speeds.LONG]
    record = measure(options.sections or names, speeds.QUICK if options.quick else speeds.Effort())
    print("\n".join(speeds_page.claims_table(record)))
    if options.json:
        print(json.dumps(record, indent=1))
    if options.save:
        speeds_page.write(speeds_page.kept() | record)
    return None


if __name__ == "__main__":
    main()
