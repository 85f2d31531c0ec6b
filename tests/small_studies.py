"""Shipped studies made small: the tables of their files, overlaid as a preset does."""

import functools
import tomllib

from dlnmc import studies


def shipped(name):
    """The tables of a study's file, without its presets."""
    tables = tomllib.loads((studies.folder() / f"{name}.toml").read_text(encoding="utf-8"))
    return {section: table for section, table in tables.items() if section != "presets"}


def overlaid(tables, *changes):
    """The tables with changes, each as a preset has them."""
    return functools.reduce(studies.overlaid, changes, tables)


def within(part, section, values):
    """A change of a section of a part; with "" for the part, of a section of the file."""
    return {"parts": {part: {section: values}}} if part else {section: values}
