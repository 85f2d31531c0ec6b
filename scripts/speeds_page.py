"""What `scripts/bench` measured as Markdown and a picture: docs/benchmarks.md, README.md, data/benchmarks/."""

import inspect
import json
import math
import operator
import pathlib

import answers
import peers
import speeds

ROOT = pathlib.Path(__file__).parent.parent
FOLDER = ROOT / "data" / "benchmarks"
RECORD, PICTURE = "benchmarks.json", "pair_rates.png"
RECORDS = {"answer": "time_to_answer.json"}  # of sections that have one of their own
PAGES = {ROOT / "docs" / "benchmarks.md": "all", ROOT / "README.md": "short"}
BEGIN, END = "<!-- speeds: written by scripts/bench -->", "<!-- end speeds -->"
MODELS = {"dyson": "Dyson", "dln": "DLN, depth 2"}
COMPILED = ("numba_plain", "jax_plain", "diffrax_plain")  # goals are for the best of these
OVER_NUMPY = {8: 20.0, 32: 50.0, 128: 60.0}
OVER_REFERENCE = {32: 0.55, 64: 0.75, 128: 0.85}
WIDE_FIGURES = {"trace_ratio": "trace", "ks": "KS distance"}
ANSWERS = {"trace": "trace", "ks": "KS"}
AGREE = 4.0  # standard errors
AT_LEAST, BELOW = operator.ge, operator.lt


def table(header, rows):
    """Lines of a Markdown table from texts."""
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def number(value, unit=1.0, digits=3):
    if isinstance(value, str):
        return value
    if value is None:
        return "–"
    text = f"{value / unit:.{digits}g}"
    return f"{float(text):.0f}" if "e+" in text and float(text) < 1e5 else text


# ---------------------------------------------------------------- sections


def kernels_table(figures):
    header = ["model", "state", "size", "depth", "threads", "path steps/s", "G pairs/s"]
    rows = [
        [
            row["model"],
            row["state"].replace("_", " "),
            str(row["size"]),
            number(row["depth"]),
            str(row["threads"]),
            number(row["path_steps_per_second"]),
            number(row["pairs_per_second"], 1e9),
        ]
        for row in figures["kernels"]
    ]
    return [f"Normals on one thread: {figures['normals_per_second'] / 1e6:.0f} M/s.", "", *table(header, rows)]


def ratio_table(*columns):
    """A section whose rows are some numbers and their ratio."""

    def lines(figures):
        rows = [[number(row[column], *unit) for column, *unit in columns] for row in figures.get("rows", [figures])]
        return table([column.replace("_", " ") for column, *_ in columns], rows)

    return lines


def reference_table(figures):
    best = ", ".join(f"{rate / 1e9:.2f} at {size}" for size, rate in figures["best_pairs_per_second"].items())
    lines = [f"By hand, the pair sum alone: G pairs/s {best} particles ({figures['compiler']}). Ours, whole steps:", ""]
    return lines + ratio_table(("size",), ("pairs_per_second", 1e9), ("ratio",))(figures)


def peers_table(figures):
    """A row for each size and package: pair rates of both of its forms, and how many times faster ours is."""
    header = ["model", "size", "package", "plain", "M pairs/s", "ours over it", "fast", "M pairs/s", "ours over it"]
    cells = {(row["model"], row["size"], row["peer"]): row for row in figures["rows"]}
    body = []
    for kind, size in dict.fromkeys((kind, size) for kind, size, _ in cells):
        for package in (peers.OURS, *peers.PACKAGES):
            forms = [package] if package == peers.OURS else [f"{package}_{form}" for form in peers.FORMS]
            both = [cells.get((kind, size, name)) for name in forms]
            if row := both[0] or both[-1]:
                words = [MODELS[kind], str(size), f"{row['label']} {row['version']}"]
                body.append([*words, *(cell for row in both for cell in peer_cells(row))])
    body = [[*row, *[""] * (len(header) - len(row))] for row in body]
    threads = f"{figures['threads']} threads" if figures["threads"] > 1 else "One core"
    lines = [*table(header, body), "", f"{threads}, {peers.PATHS:,} paths{fewer_paths(figures['rows'])}."]
    return lines + [f"Absent: {name}, {reason}." for name, reason in figures["absent"].items()]


def wide_table(figures):
    columns = (("start",), ("seconds",), ("trace_ratio", 1.0, 6), ("trace_error",), ("ks",), ("ks_error",))
    names = ("paths", "dt", "burn_in", "duration", "threads")
    run = ", ".join(f"{name.replace('_', ' ')} {number(figures[name])}" for name in names)
    apart = ", ".join(f"{words} {number(figures[f'{name}_apart'])}" for name, words in WIDE_FIGURES.items())
    last = f"Leimkuhler–Matthews, {run}. Apart, in standard errors: {apart}."
    return [*ratio_table(*columns)(figures), "", last]


def answer_table(figures):
    """For every scheme both biases at its default step, and its quickest step to both answers; then the defaults."""
    header = [
        "model",
        "size",
        "scheme",
        "trace: bias",
        "KS: bias",
        "trace: seconds",
        "at",
        "KS: seconds",
        "at",
    ]
    body, defaults, ratios = [], [], []
    for (kind, size), rows in grouped(figures["rows"]).items():
        for scheme in answers.SCHEMES:
            own = next(row for row in rows if row["scheme"] == scheme and row["factor"] in (None, 1.0))
            biases = [f"{own[name]:.1e} ± {own[f'{name}_error']:.0e}" for name in ("trace_bias", "ks_bias")]
            biases = ["0", "0"] if own["factor"] is None else biases
            cells = [cell for each in ANSWERS for cell in answer_cells(answers.best(rows, each, scheme), each)]
            body.append([MODELS[kind], str(size), scheme.replace("_", " "), *biases, *cells])
        scheme = answers.default(dict(answers.models(size))[kind])
        cells = [MODELS[kind], str(size), scheme.replace("_", " ")]
        for each in ANSWERS:
            own, best = answers.best(rows, each, scheme, (None, 1.0)), answers.best(rows, each)
            ratios.append(own[f"{each}_seconds"] / best[f"{each}_seconds"] if own else math.inf)
            name = f"{answer_cells(best, each)[0]}: {best['scheme'].replace('_', ' ')}, {answer_cells(best, each)[1]}"
            cells += [answer_cells(own, each)[0], name, number(ratios[-1], digits=2)]
        defaults.append(cells)
    names = [f"{words}: {what}" for words in ANSWERS.values() for what in ("seconds", "best", "over the best")]
    good = f"{sum(ratio <= 2.0 for ratio in ratios)} of {len(ratios)} within a factor 2 of the quickest"
    lines = [*table(header, body), "", f"What `equilibrium` takes by default, {good}:", ""]
    return lines + table(["model", "size", "default", *names], defaults)


def grouped(rows):
    """Rows by model and size, in their order."""
    groups = {}
    for row in rows:
        groups.setdefault((row["model"], row["size"]), []).append(row)
    return groups


def answer_cells(row, answer):
    """Seconds, and the step in units of the default one."""
    if row is None:
        return ["not reached", "–"]
    return [number(row[f"{answer}_seconds"]), "pilot" if row["factor"] is None else f"{row['factor']:g} dt"]


def peer_cells(row):
    """How, rate and ratio of one form."""
    if row is None or "failed" in row:
        return ["–", "–", "–"] if row is None else [row["how"], row["failed"], "–"]
    ratio = "" if row["peer"] == peers.OURS else f"{number(row['ours_over_it'])}×"
    return [row["how"], f"{row['pairs_per_second'] / 1e6:,.0f}", ratio]


def fewer_paths(rows):
    fewer = [row for row in rows if row.get("paths", peers.PATHS) < peers.PATHS]
    words = dict.fromkeys(f"{row['paths']:,} for {row['label']}, {row['how']}, at size {row['size']}" for row in fewer)
    return "".join(f"; {each}" for each in words)


TABLES = {
    "kernels": kernels_table,
    "normals": ratio_table(("ratio",)),
    "matrices": ratio_table(("width",), ("ratio",)),
    "depths": ratio_table(("size",), ("depth",), ("ratio",), ("best",)),
    "reference": reference_table,
    "threads": ratio_table(("size",), ("threads",), ("ratio",)),
    "peers": peers_table,
    "peers_one_core": peers_table,
    "fast": ratio_table(("model",), ("size", 1.0, 4), ("fast",), ("direct",), ("ratio",)),
    "startup": ratio_table(("warmup",), ("first_step",), ("best",), ("whole",)),
    "durability": ratio_table(
        ("paths", 1.0, 4), ("threads",), ("writes",), ("cpu", 1.0, 4), ("time", 1.0, 4), ("writing",), ("within",)
    ),
    "wide": wide_table,
    "answer": answer_table,
}


def section(record, name):
    """Lines of one section: what it is, its table, and where it was measured if that differs."""
    entry = record[name]
    figures = entry["figures"]
    body = [f"Not measured: {figures['absent']}."] if isinstance(figures.get("absent"), str) else TABLES[name](figures)
    return [f"### {name.replace('_', ' ').capitalize()}", "", inspect.getdoc(speeds.SECTIONS[name]), "", *body, ""]


# ---------------------------------------------------------------- claims


def claims(record):
    """(what, value, comparison, goal) for every number that was asked for, of sections that were measured."""

    def rows(name):
        figures = record.get(name, {}).get("figures", {})
        return [] if isinstance(figures.get("absent"), str) else figures.get("rows", [])

    for row in rows("reference"):
        what = f"Dyson {row['size']}, one thread, over the reference's best"
        yield what, row["ratio"], AT_LEAST, OVER_REFERENCE[row["size"]]
    for row in rows("depths"):
        if row["size"] in speeds.REFERENCE_SIZES:
            yield f"DLN, depth {row['depth']}, over Dyson, size {row['size']}", row["ratio"], AT_LEAST, 0.6
    dyson = [row for row in rows("peers") if row["model"] == "dyson" and row.get("ours_over_it") is not None]
    for size in sorted({row["size"] for row in dyson}):
        over = {row["peer"]: row["ours_over_it"] for row in dyson if row["size"] == size}
        if compiled := {name: over[name] for name in COMPILED if name in over}:
            best = min(compiled, key=compiled.get)
            what = f"Dyson {size}, all cores, over the best of JAX, diffrax and Numba ({best.partition('_')[0]})"
            yield what, compiled[best], AT_LEAST, 6.0
        if "numpy_plain" in over:
            yield f"Dyson {size}, all cores, over NumPy", over["numpy_plain"], AT_LEAST, OVER_NUMPY[size]
    for row in rows("threads"):
        yield f"{row['threads']} threads over as many processes, Dyson {row['size']}", row["ratio"], AT_LEAST, 0.95
    for model in MODELS:
        found = {row["size"]: row for row in rows("fast") if row["model"] == model}
        if 4096 in found:
            yield f"{MODELS[model]}: direct over fast sum, size 4096", found[4096]["ratio"], AT_LEAST, 8.0
        if {1024, 8192} <= set(found):
            growth = found[8192]["fast"] / found[1024]["fast"]
            yield f"{MODELS[model]}: fast sum, cost from size 1024 to 8192", growth, BELOW, 12.0
    for row in rows("wide"):
        yield f"width 1,024, depth 4, from {row['start']:g} of the law: KS distance", row["ks"], BELOW, 0.003
    for name, words in WIDE_FIGURES.items():
        if f"{name}_apart" in (wide := record.get("wide", {}).get("figures", {})):
            yield f"width 1,024: {words} from both starts apart, standard errors", wide[f"{name}_apart"], BELOW, AGREE
    for name, key, what, comparison, goal in (
        ("wide", "seconds", "seconds for both starts at width 1,024", BELOW, 300.0),
        ("normals", "ratio", "normals over NumPy's", AT_LEAST, 5.0),
        ("startup", "warmup", "seconds to compile all kernels", BELOW, 60.0),
        ("startup", "first_step", "seconds to a first step, warm", BELOW, 1.5),
        ("durability", "cpu", "CPU time with chunks, states and checksums over that without", BELOW, 1.02),
        ("durability", "writing", "CPU time of writing them over all", BELOW, 0.02),
    ):
        value = record.get(name, {}).get("figures", {}).get(key)
        if value is not None:
            yield what, value, comparison, goal


def claims_table(record):
    sign = {AT_LEAST: "≥", BELOW: "<"}
    body = [
        [what, number(value), f"{sign[comparison]} {goal:g}", "yes" if comparison(value, goal) else "**no**"]
        for what, value, comparison, goal in claims(record)
    ]
    return table(["what", "measured", "goal", "reached"], body) if body else []


# ---------------------------------------------------------------- picture


def draw(record):
    """Pair rate against size on double logarithmic axes, a line for each package; None without peers."""
    rows = record.get("peers", {}).get("figures", {}).get("rows", [])
    if not rows:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 4.8), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for ax, (kind, title) in zip(axes, MODELS.items(), strict=True):
        of_kind = [row for row in rows if row["model"] == kind and "failed" not in row]
        for name in (peers.OURS, *peers.PEERS):
            points = sorted((row["size"], row["pairs_per_second"]) for row in of_kind if row["peer"] == name)
            if points:
                row = next(row for row in of_kind if row["peer"] == name)
                label = f"{row['label']}, {row['how']}"
                ax.plot(*zip(*points, strict=True), label=label, **line_style(name))
        ax.set(xscale="log", yscale="log", xlabel="size $d$", title=title)
        sizes = sorted({row["size"] for row in of_kind})
        ax.set_xticks(sizes, map(str, sizes))
        ax.minorticks_off()
    best = record.get("reference", {}).get("figures", {}).get("best_pairs_per_second", {})
    if best:
        sizes, rates = zip(*sorted((int(size), rate) for size, rate in best.items()), strict=True)
        axes[0].plot(sizes, rates, label="C++, pairs alone, one core", color="#555555", linestyle=":")
    facts = record["peers"]["machine"]
    axes[0].set_ylabel("pair interactions in a second")
    figure.suptitle(
        f"Whole Euler–Maruyama steps of {peers.PATHS:,} paths, {facts['threads']} cores, {facts['processor']}"
    )
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    return figure


def line_style(name):
    """A colour for each package, and dashes for its fast form."""
    from dlnmc.plotting import BLUE, GREEN, GREY, PURPLE, SKY, VERMILION

    package, _, form = name.partition("_")
    colours = dict(zip((peers.OURS, *peers.PACKAGES), (BLUE, GREY, SKY, VERMILION, GREEN, PURPLE), strict=True))
    style = {"linewidth": 2.4 if name == peers.OURS else 1.2, "linestyle": "--" if form == "fast" else "-"}
    return {"color": colours[package], "marker": "o", "markersize": 4, **style}


# ---------------------------------------------------------------- pages


def short(record):
    """What the README has: how many times faster, on all cores; in brackets, than the package's fast form."""
    measured = record.get("peers", {}).get("figures", {}).get("rows", [])
    if not measured:
        return ["No figures are kept yet."]
    cells = {(row["peer"], row["model"], row["size"]): row.get("ours_over_it") for row in measured}
    names = {row["peer"].partition("_")[0]: row["label"] for row in measured if row["peer"] != peers.OURS}
    columns = list(dict.fromkeys((row["model"], row["size"]) for row in measured))

    def cell(package, column):
        plain, fast = (cells.get((f"{package}_{form}", *column)) for form in peers.FORMS)
        return number(plain, digits=2) + (f" ({number(fast, digits=2)})" if fast else "")

    header = ["dlnmc is so many times faster than", *(f"{MODELS[kind]}, size {size}" for kind, size in columns)]
    body = [[label, *(cell(package, column) for column in columns)] for package, label in names.items()]
    facts = record["peers"]["machine"]
    where = f"{facts['threads']} cores, {facts['processor']}, {facts['simd']}; kernels `{facts['kernel_hash'][:12]}`."
    return [*table(header, body), "", where]


def everything(record):
    if not record:
        return ["No figures are kept yet."]
    lines = [*claims_table(record), ""]
    for name in speeds.SECTIONS:
        if name in record:
            lines += section(record, name)
    return [*lines, *machines(record)]


def machines(record):
    """What every section was measured on, those with the same facts together."""
    groups = {}
    for name, entry in record.items():
        facts = {key: value for key, value in entry["machine"].items() if key not in ("load", "packages")}
        packages = {key: value for key, value in entry["machine"]["packages"].items() if value}
        facts["kernel_hash"] = facts["kernel_hash"][:12]
        words = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in (facts | packages).items())
        groups.setdefault(words, []).append((name, entry["machine"]["load"]))
    lines = ["### Machine", ""]
    for words, names in groups.items():
        loads = ", ".join(f"{name.replace('_', ' ')} {load:g}" for name, load in names)
        lines += [f"{words}. Load of the machine when a section began: {loads}.", ""]
    return lines


def filled(path, record):
    """A page with what stands between its marks made again."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    lines = short(record) if PAGES[path] == "short" else everything(record)
    return before + BEGIN + "\n" + "\n".join(lines).strip() + "\n" + END + rest.partition(END)[2]


def kept():
    """The record: all sections, in order."""
    record = {}
    for path in sorted(FOLDER.glob("*.json")):
        record |= json.loads(path.read_text(encoding="utf-8"))
    return {name: record[name] for name in speeds.SECTIONS if name in record}


def stale():
    """What is not as the record has it, a line each."""
    return [f"{path.name}: run scripts/bench --page" for path in PAGES if path.read_text() != filled(path, kept())]


def write(record):
    """Keep the record, and make pages and picture from it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file in (RECORD, *RECORDS.values()):
        names = [name for name in speeds.SECTIONS if name in record and RECORDS.get(name, RECORD) == file]
        own = {name: rounded(record[name]) for name in names}
        if own:
            text = json.dumps(own, indent=1, ensure_ascii=False, allow_nan=False)
            (FOLDER / file).write_text(text + "\n", encoding="utf-8")
    for path in PAGES:
        path.write_text(filled(path, kept()), encoding="utf-8")
    import matplotlib.style

    from dlnmc.plotting import STYLE

    with matplotlib.style.context(["default", STYLE]):
        if figure := draw(kept()):
            figure.savefig(FOLDER / PICTURE, dpi=160)


def rounded(value):
    """To four digits, so that a record can be read; times and rates are not known better."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.4g}")
    return value
