"""What the pages of all kinds of runs tell: warnings, times, configuration, what was not scored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fgvp_eval.machine.stage_times import ASIDE, STAGE_NAMES, in_order
from fgvp_eval.options.demo_models import demo_models_warning
from fgvp_eval.options.presets import PRESETS
from fgvp_eval.options.splits import SPLITS

_MOST_GROUPS = 100

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Alert:
    """A paragraph that a reader must not miss."""

    head: str
    text: str


@dataclass(frozen=True)
class UnscoredGroup:
    """What was not scored of one image, and why."""

    split: str
    image: str
    reason: str
    count: int


@dataclass(frozen=True)
class Stage:
    """Seconds of one stage, and their share of all stages."""

    name: str
    seconds: float
    share: float


@dataclass(frozen=True)
class FactTable:
    """A table of names and values."""

    name: str
    facts: list[tuple[str, str]]


def run_facts(results: Results) -> dict[str, Any]:
    """Return the variables of ``layout.html.j2`` that come from ``results.json`` alone.

    Fields that are not there, as in a run that another program wrote, are left out of the page.
    """
    splits = results.get("splits", {})
    groups = _unscored(splits)
    seconds = results.get("seconds", {})
    return {
        "results": {"command": results.get("command", "")},
        "warnings": _warnings(results),
        "notes": _notes(results),
        "unscored": groups[:_MOST_GROUPS],
        "unscored_count": sum(group.count for group in groups),
        "unscored_left_out": max(0, len(groups) - _MOST_GROUPS),
        "stages": _stages(seconds),
        "time_aside": ", ".join(
            f"{name} {seconds[stage]:.1f} s" for stage, name in ASIDE.items() if stage in seconds
        ),
        "configuration": _configuration(results),
    }


def sections_of(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return anchor and name of the sections that the page has for these variables."""
    named = (("unscored", "Not scored"), ("stages", "Time"), ("configuration", "Configuration"))
    anchors = {"stages": "time"}
    return [(anchors.get(name, name), text) for name, text in named if facts[name]]


def _warnings(results: Results) -> list[Alert]:
    found = []
    if not results.get("complete", True):
        found.append(Alert("Incomplete.", "Some samples could not be scored; see below."))
    for split, settings in results.get("config", {}).get("settings", {}).items():
        names = settings.get("demo_models")
        if names:
            found.append(Alert(f"{split}: demo models.", f"{demo_models_warning(names)}."))
    for split, facts in results.get("splits", {}).items():
        check = facts.get("count_check", {})
        if check.get("ok") is False:
            wanted, has = (
                ", ".join(f"{count} {what}" for what, count in (check[name] or {}).items())
                for name in ("published", "found")
            )
            found.append(
                Alert(
                    f"{split} is not the published split.",
                    f"It has {has}; the published one has {wanted}. These results do not compare "
                    "with it.",
                )
            )
    return found


def _notes(results: Results) -> list[str]:
    names = [split for split in results.get("splits", {}) if split in SPLITS]
    notes = []
    if any(SPLITS[name].is_demo for name in names):
        notes.append("This is the demo: generated scenes and small models, not a benchmark.")
    preset = PRESETS.get(results.get("config", {}).get("preset") or "")
    if preset is not None:
        notes.append(f"Preset {preset.name}: {preset.note}.")
    return notes


def _unscored(splits: Mapping[str, Any]) -> list[UnscoredGroup]:
    counts: dict[tuple[str, str, str], int] = {}
    for split, facts in splits.items():
        for unscored in facts.get("unscored", []):
            key = split, unscored["image"], unscored["reason"]
            counts[key] = counts.get(key, 0) + 1
    return [UnscoredGroup(*key, count) for key, count in counts.items()]


def _stages(seconds: Mapping[str, float]) -> list[Stage]:
    stages = in_order(seconds)
    total = sum(stages.values()) or 1.0
    return [
        Stage(STAGE_NAMES.get(name, name), spent, spent / total) for name, spent in stages.items()
    ]


def _configuration(results: Results) -> list[FactTable]:
    config = results.get("config", {})
    settings = config.get("settings", {})
    tables = [FactTable("Run", _facts(_without(config, "settings") | _run(results)))]
    for split, of_split in settings.items():
        tables.append(FactTable(f"Options of {split}", _facts(of_split)))
    for model in results.get("models", []):
        name = f"{model.get('kind', 'model')} {model.get('name', '')}"
        tables.append(FactTable(f"Model: {name}", _facts(_without(model, "kind", "name"))))
    for split, facts in results.get("splits", {}).items():
        tables.append(FactTable(f"Data of {split}", _facts(_without(facts, "unscored"))))
    tables.append(FactTable("Versions", _facts(results.get("versions", {}))))
    return [table for table in tables if table.facts]


def _run(results: Results) -> dict[str, Any]:
    names = ("schema_version", "protocol", "blur", "device", "rescored_from")
    return {name: results[name] for name in names if name in results}


def _without(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _facts(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return names and values as text; what lies in a dict has the dict's name before its own."""
    found: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += [(f"{name}: {inner}", text) for inner, text in _facts(value)]
        else:
            found.append((name, _text(value)))
    return found


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
