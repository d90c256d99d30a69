"""The report of a run: one HTML file that needs nothing else, and the same as PNG, CSV and JSON."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from fastai_container.pictures import PictureError, center_square, open_picture
from fastai_training.console import Log
from fastai_training.data.labels import Example, relative_name
from fastai_training.diagnosis.disk_space import keep
from fastai_training.quoting import utf8
from fastai_training.reporting import charts
from fastai_training.reporting.evaluation import Evaluation, Mistake, evaluate
from fastai_training.reporting.run_files import columns, write_csv

#: Mistakes shown as pictures, and left-out files listed in the page (all are in skipped.csv).
MOST_MISTAKES, MOST_SKIPPED = 24, 100

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; }
td { overflow-wrap: anywhere; }
.facts { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.2rem 0; padding: 0; list-style: none; }
.facts li { background: var(--soft); border-radius: .5rem; padding: .6rem 1rem; }
.facts b { display: block; font-size: 1.3rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); gap: 1rem; }
figure { margin: 0; } figcaption { font-size: .85rem; overflow-wrap: anywhere; }
img { max-width: 100%; height: auto; background: #fff; border-radius: .3rem; }
.scroll { overflow-x: auto; }
"""


@dataclass(frozen=True)
class Run:
    """What a report is made of. ``root`` is the channel the validation pictures lie in; ``probabilities``: float
    (n, classes) for ``valid``; ``skipped``: channel, file and reason of what was left out; ``test``: what the test
    pictures say, if there are any."""

    root: Path
    valid: Sequence[Example]
    probabilities: np.ndarray
    vocab: list[str]
    history: list[dict[str, float]]
    skipped: Sequence[tuple[str, str, str]]
    summary: dict[str, Any]
    train_counts: dict[str, int]
    test: Evaluation | None = None


def _name(item: Example, root: Path) -> str:
    return utf8(relative_name(item.path, root))


def _text(value: Any) -> str:
    """A value as the page shows it, escaped."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        return escape(f"{value:.4g}")
    return escape(utf8(str(value)))


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    def cell(tag: str, value: Any, number: bool) -> str:
        return f"<{tag}{' class=number' if number else ''}>{_text(value)}</{tag}>"

    body = [list(row) for row in rows]
    numeric = [bool(body) and all(isinstance(row[i], int | float | None) for row in body) for i in range(len(header))]
    head = "".join(cell("th", name, numeric[i]) for i, name in enumerate(header))
    lines = "".join(
        "<tr>" + "".join(cell("td", value, numeric[i]) for i, value in enumerate(row)) + "</tr>\n" for row in body
    )
    return f"<div class=scroll><table><thead><tr>{head}</tr></thead>\n<tbody>{lines}</tbody></table></div>\n"


def _image(content: bytes, kind: str, alternative: str) -> str:
    data = base64.b64encode(content).decode()
    return f'<img src="data:image/{kind};base64,{data}" alt="{escape(alternative, quote=True)}">'


def _tiles(mistakes: Sequence[Mistake]) -> list[tuple[Mistake, Any]]:
    """The mistakes' pictures as the model saw them; one that can't be opened any more is left out."""
    tiles = []
    for mistake in mistakes:
        try:
            tiles.append((mistake, center_square(open_picture(mistake.item.path, charts.TILE), charts.TILE)))
        except PictureError:
            continue
    return tiles


def _jpeg(image: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _facts(summary: dict[str, Any]) -> str:
    metrics = summary["metrics"]
    program = summary.get("program") or {}
    besides = {
        "balanced accuracy": "balanced_accuracy",
        "macro F1": "f1_macro",
        "error rate with tta": "tta_error_rate",
    }
    shown = {
        "error rate": f"{metrics['error_rate']:.2%}",
        "right": f"{1 - metrics['error_rate']:.2%}",
        **{title: f"{metrics[name]:.2%}" for title, name in besides.items() if name in metrics},
        "pictures to train on": f"{summary['training_pictures']:,}",
        "to validate on": f"{summary['validation_pictures']:,}",
        "left out": f"{summary['left_out']:,}",
        **({"exported epoch": str(summary["exported_epoch"])} if "exported_epoch" in summary else {}),
        "training": f"{summary['training_seconds']:,.0f} s",
        "served in": program.get("precision", "fp32"),
    }
    if "test_error_rate" in metrics:
        shown["test error rate"] = f"{metrics['test_error_rate']:.2%}"
    return "<ul class=facts>" + "".join(f"<li>{escape(k)}<b>{escape(v)}</b></li>" for k, v in shown.items()) + "</ul>\n"


def _compiled_models(program: dict[str, Any]) -> str:
    if not program:
        return ""
    rows = [
        [
            name + (" (served)" if name == program["precision"] else ""),
            score["error_rate"],
            score["agreement"],
            score["milliseconds"],
        ]
        for name, score in program["scores"].items()
    ]
    table = _table(["precision", "error rate", "same answer as fp32", "ms a picture"], rows)
    scored = f"Scored on {program['scored_pictures']:,} validation pictures."
    return f"<h2>Compiled models for CPUs</h2>\n<p>{scored}</p>\n{table}"


def _test_set(test: Evaluation | None) -> str:
    if test is None:
        return ""
    told = (
        f"{test.error_rate:.2%} of {test.pictures:,} pictures got a wrong class. They were scored once, after "
        "training, by the compiled model that is served."
    )
    classes = _table(
        ["class", "tested on", "right", "recall", "precision", "F1"], (list(row.values()) for row in test.classes())
    )
    pairs = _table(["is", "taken for", "pictures"], test.confused_pairs())
    return f"<h2>Test set</h2>\n<p>{told}</p>\n{classes}{pairs}"


def _folds(folds: dict[str, Any] | None) -> str:
    if not folds:
        return ""
    told = (
        f"{folds['mean']:.2%} wrong on average, with a standard deviation of {100 * folds['standard_deviation']:.2f} "
        "percentage points from part to part: the head alone, on features of the pretrained body, trained on all other "
        "parts of the pictures."
    )
    rows = ([number, rate] for number, rate in enumerate(folds["error_rates"], 1))
    return f"<h2>Folds</h2>\n<p>{told}</p>\n" + _table(["part", "error rate"], rows)


def _notes(notes: Sequence[dict[str, str]]) -> str:
    """What reading the data found that the user should know."""
    if not notes:
        return ""
    rows = ([note["channel"], note["text"], note["example"]] for note in notes)
    return "<h2>Of the data</h2>\n" + _table(["channel", "what", "for example"], rows)


def page(run: Run, evaluation: Evaluation, pictures: dict[str, bytes], tiles: list[tuple[Mistake, Any]]) -> str:
    """The report as HTML: no script, nothing fetched, whatever comes from the user escaped."""
    summary = run.summary
    title = f"{summary['hyperparameters']['arch']} on {len(run.vocab)} classes"
    shown = "".join(
        f"<figure>{_image(_jpeg(image), 'jpeg', _name(mistake.item, run.root))}<figcaption>"
        f"<b>{_text(mistake.predicted)}</b> {mistake.confidence:.0%}, "
        f"is {_text(mistake.item.label)} {mistake.right:.0%}"
        f"<br>{_text(_name(mistake.item, run.root))}</figcaption></figure>\n"
        for mistake, image in tiles
    )
    classes = [
        [row["class"], run.train_counts.get(row["class"], 0), *(row[name] for name in list(row)[1:])]
        for row in evaluation.classes()
    ]
    skipped = list(run.skipped)
    more = f"<p>{len(skipped) - MOST_SKIPPED:,} more are in skipped.csv.</p>" if len(skipped) > MOST_SKIPPED else ""
    history_names = columns(run.history)
    parts = [
        f"<h1>{_text(title)}</h1>\n<p>Labels from {_text(summary['labels_from'])}; weights: "
        f"{_text(summary['pretrained_weights'] or 'none, from scratch')}.</p>\n",
        _facts(summary),
        _notes(summary.get("notes") or []),
        "<h2>Training</h2>\n" + _image(pictures["curves"], "png", "loss and error rate by epoch"),
        _table(history_names, ([row.get(name) for name in history_names] for row in run.history)),
        _compiled_models(summary.get("program") or {}),
        _test_set(run.test),
        _folds(summary.get("folds")),
        f"<h2>Worst mistakes</h2>\n<p>{len(evaluation.mistakes)} of {len(run.valid)} validation pictures got a "
        f"wrong class; the surest first.</p>\n<div class=tiles>\n{shown}</div>\n",
        "<h2>Confusion matrix</h2>\n<div class=scroll>"
        + _image(pictures["confusion"], "png", "confusion matrix")
        + "</div>",
        _table(["is", "taken for", "pictures"], evaluation.confused_pairs()),
        "<h2>Classes</h2>\n"
        + _table(["class", "trained on", "validated on", "right", "recall", "precision", "F1"], classes),
        f"<h2>Left out: {len(skipped)}</h2>\n" + (_table(["channel", "file", "reason"], skipped[:MOST_SKIPPED]) + more)
        if skipped
        else "<h2>Left out: none</h2>\n",
        "<h2>Hyperparameters</h2>\n" + _table(["name", "value"], summary["hyperparameters"].items()),
        "<h2>Versions</h2>\n" + _table(["package", "version"], summary["versions"].items()),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # A browser then opens nothing but what is in the file.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>{_text(title)}</title>\n<style>{STYLE}</style></head>\n<body>\n{''.join(parts)}</body>\n</html>\n"
    )


def _plain(value: Any) -> Any:
    """``value`` for JSON, which has no NaN."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_report(folder: Path, run: Run, log: Log = print) -> bool:
    """Write report.html, report.json, curves.png, confusion.png, mistakes.png, classes.csv and confusion.csv.

    ``log`` is told of what could not be written; returns whether report.html was.
    """
    evaluation = evaluate(run.valid, run.probabilities, run.vocab)
    worst = evaluation.mistakes[:MOST_MISTAKES]
    tiles = _tiles(worst)
    pictures = {
        "curves": charts.curves(run.history),
        "confusion": charts.confusion_matrix(evaluation.confusion, run.vocab),
    }
    if tiles:
        captions = [(image, f"{m.predicted} {m.confidence:.0%}\nis {m.item.label}") for m, image in tiles]
        pictures["mistakes"] = charts.contact_sheet(captions)
    classes = evaluation.classes()
    everything = {
        "summary": run.summary,
        "history": run.history,
        "classes": classes,
        "confused_pairs": evaluation.confused_pairs(),
        "mistakes": [
            {
                "file": _name(mistake.item, run.root),
                "label": mistake.item.label,
                "predicted": mistake.predicted,
                "confidence": round(mistake.confidence, 4),
            }
            for mistake in evaluation.mistakes
        ],
        "skipped": [[utf8(text) for text in row] for row in run.skipped],
    }
    if run.test is not None:
        everything["test"] = {
            "pictures": run.test.pictures,
            "error_rate": run.test.error_rate,
            "classes": run.test.classes(),
            "confused_pairs": run.test.confused_pairs(),
        }
    text = json.dumps(_plain(everything), indent=2, ensure_ascii=False, allow_nan=False)
    # The page holds all of it, so it comes first should room be short.
    written = keep(folder / "report.html", page(run, evaluation, pictures, tiles), log)
    keep(folder / "report.json", text + "\n", log)
    write_csv(folder / "classes.csv", list(classes[0]), (list(row.values()) for row in classes), log)
    confusion = ([name, *map(int, row)] for name, row in zip(run.vocab, evaluation.confusion, strict=True))
    write_csv(folder / "confusion.csv", ["true \\ predicted", *run.vocab], confusion, log)
    for name, content in pictures.items():
        keep(folder / f"{name}.png", content, log)
    return written
