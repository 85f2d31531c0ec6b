"""Reference data and the page of results: the page is what the data say, and the data are what studies give."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import dlnmc
from dlnmc import dataset, findings, simulation, studies
from dlnmc_kernels.jit import arithmetic, cpu_name, source_hash

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import reference  # noqa: E402
import results  # noqa: E402

NAMES = sorted(path.stem for path in reference.FOLDER.glob("*.nc"))
ERRORS = 6.0  # standard errors, of both, that figures made elsewhere may be apart


def test_the_page_is_what_the_data_say():
    text, known = results.page()
    assert results.PAGE.read_text(encoding="utf-8") == text, "scripts/results"
    assert [study.name for study in known] == NAMES
    drawn = {f"{study.name}-{name}.png" for study in known for name in study.pictures}
    assert {path.name for path in results.PICTURES.iterdir()} == drawn


def test_other_data_would_be_another_page(tmp_path, monkeypatch):
    for name in NAMES:
        summary = dlnmc.open(reference.FOLDER / f"{name}.nc")
        if name == "semicircle":
            summary = summary.copy(deep=True)
            summary["tables/rates/rate"].values[:] += 0.1
        dlnmc.save(summary, tmp_path / f"{name}.nc")
    (tmp_path / "index.json").write_text(reference.INDEX.read_text())
    monkeypatch.setattr(results, "REFERENCE", tmp_path)
    assert results.page()[0] != results.PAGE.read_text(encoding="utf-8")


def typed(text):
    """Figures in a template that are no part of what is computed, of formulas, or of references."""
    text = re.sub(r"{#.*?#}|{{.*?}}|{%.*?%}|`[^`]*`|\$[^$]*\$|\]\([^)]*\)", " ", text, flags=re.DOTALL)
    text = re.sub(r"[Ss]ections? \d+\.\d+(?:(?:,| and) \d+\.\d+)*|\(\d+\.\d+\)", " ", text)
    return re.findall(r"\d*\.\d+|\d[\d,]{2,}|\d+ ?%", text)


def test_no_figure_of_the_page_is_typed_by_hand():
    assert typed(results.TEMPLATE.read_text(encoding="utf-8")) == []
    assert typed("a rate of 0.97 in section 14.3, 12 %, {{ x.value(0.5) }} of 2,048 paths") == ["0.97", "12 %", "2,048"]


def test_the_files_are_those_of_the_index():
    assert list(reference.complaints()) == []
    assert set(reference.index()) == set(NAMES) == set(studies.names())


def test_a_file_that_is_not_that_of_the_index_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    monkeypatch.setattr(reference, "FOLDER", tmp_path)
    for name in NAMES[:1]:
        (tmp_path / f"{name}.nc").write_bytes(b"other")
    (tmp_path / "stray.nc").write_bytes(b"")
    found = list(reference.complaints())
    assert any("not the file of the index" in line for line in found)
    assert any("stray" in line for line in found)


@pytest.mark.parametrize("name", NAMES)
def test_all_checks_of_the_reference_data_hold(name):
    held = findings.verdicts(dlnmc.open(reference.FOLDER / f"{name}.nc"))
    assert len(held) >= 5
    assert all(holds for _, holds in held)


@pytest.mark.parametrize("name", NAMES)
def test_every_column_of_its_tables_is_explained(name):
    summary = dlnmc.open(reference.FOLDER / f"{name}.nc")
    kind = studies.load(name).settings()
    columns = {column for rows in findings.tables(summary).values() for column in rows[0]}
    assert [column for column in columns if not kind.meaning(column)] == []
    assert set(kind.COLUMNS) <= {column.removesuffix("_error") for column in columns} | columns
    assert kind.meaning("something of a user") == ""
    for table, rows in findings.tables(summary).items():
        for column in rows[0]:
            assert summary[f"tables/{table}/{column}"].attrs["long_name"] == kind.meaning(column)


def same_figures(found, kept, bits):
    """Whether rows agree: to the bit where the same kernels ran on the same arithmetic, else within errors."""
    for key, value in kept.items():
        if isinstance(value, float) and not bits:
            error = np.hypot(found.get(f"{key}_error") or 0.0, kept.get(f"{key}_error") or 0.0)
            assert not error or abs(found[key] - value) <= ERRORS * error, key
        elif isinstance(value, float):
            assert found[key] == pytest.approx(value, rel=1e-9, abs=1e-12), key
        elif value is not None:
            assert found[key] == value, key


def made_here(summary):
    """Whether what made it is what would be run here."""
    attrs = summary.attrs
    return (attrs["kernel_hash"], attrs["simd"], attrs["cpu"]) == (source_hash(), arithmetic(), cpu_name())


def test_a_member_of_the_semicircle_study_is_remade():
    summary = dlnmc.open(reference.FOLDER / "semicircle.nc")
    kept = next(row for row in findings.rows(summary) if (row["width"], row["depth"], row["kappa"]) == (16, 1.0, 1.0))
    plan = studies.load("semicircle")
    member = next(
        member
        for member in plan.members()
        if (member.run.model.width, member.run.model.depth, member.run.model.kappa) == (16, 1.0, 1.0)
    )
    found, circumstances = simulation.execute([member], threads=2, progress=False)
    tree = dataset.sweep_tree([member], found, circumstances)
    (row,) = plan.settings().tables({"": tree})["members"]
    same_figures({key: value for key, value in row.items() if key != "dt"}, kept, made_here(summary))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_study_is_remade(name, tmp_path, record):
    """The preset quick, as shipped: every check holds, and its tables are those that are kept."""
    tree = dlnmc.study(name, tmp_path / f"{name}.nc", progress=False)
    summary = dlnmc.summary(tree)
    assert findings.failed(findings.verdicts(summary)) == []
    kept = dlnmc.open(reference.FOLDER / f"{name}.nc")
    bits = made_here(kept)
    for table, rows in findings.tables(kept).items():
        for row, found in zip(rows, findings.tables(summary)[table], strict=True):
            same_figures(found, row, bits)
    size = (reference.FOLDER / f"{name}.nc").stat().st_size
    record(seconds=tree.attrs["wall_seconds"], threads=int(tree.attrs["threads"]), bytes=size, same_bits=bits)


def test_the_index_says_how_to_make_each_file():
    for name, entry in json.loads(reference.INDEX.read_text()).items():
        assert entry["commands"][0].startswith(f"dlnmc study {name}")
        assert f"data/reference/{name}.nc" in entry["commands"][-1]
        assert len(entry["sha256"]) == 64
