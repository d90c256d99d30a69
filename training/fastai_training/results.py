"""What is worth keeping of a run beside its model: tables, the test set's score, evaluation, summary and report."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastai_container.model_folder import ModelManifest
from fastai_container.paths import MLPaths
from fastai_training.console import log
from fastai_training.data.channels import Channels
from fastai_training.data.labels import Example
from fastai_training.data.reading import Data
from fastai_training.diagnosis.failure_reason import error_reason
from fastai_training.diagnosis.volumes import of_job
from fastai_training.hyperparameters import HyperParameters
from fastai_training.metrics import final_line
from fastai_training.quoting import shown, utf8
from fastai_training.reporting.evaluation import Evaluation, evaluate
from fastai_training.reporting.model_quality import model_quality
from fastai_training.reporting.run_files import write_history, write_predictions, write_summary
from fastai_training.world import Processes

if TYPE_CHECKING:
    from fastai_training.exporting.scoring import Scores
    from fastai_training.fitting.fit import Result


def error_sentence(error: BaseException) -> str:
    """One sentence in the user's terms for an error that is not a UserError."""
    several = Processes.from_environment().several
    return error_reason(error, of_job(MLPaths.from_environment()), several=several)


def _score_test_set(paths: MLPaths, data: Data) -> Scores | None:
    """What the model that will be served says of the test pictures; None where there are none."""
    if not data.test:
        return None
    from fastai_training.exporting.scoring import score

    scores = score(paths.model, data.test)
    if scores.unread:
        first = shown(scores.unread[0].path.name)
        log(f"warning: {len(scores.unread)} test pictures can't be read any more, {first} is one: not scored")
    return scores if scores.items else None


def _evaluate_test_set(scores: Scores | None, data: Data) -> Evaluation | None:
    if scores is None:
        return None
    test = evaluate(scores.items, scores.probabilities, data.vocab)
    log(f"test set: {test.pictures} pictures, {test.error_rate:.2%} wrong by the model that will be served")
    return test


def _write_evaluation(folder: Path, result: Result, data: Data, scores: Scores | None) -> None:
    """Write evaluation.json: of the test set by the served model, or else of the validation pictures as trained."""
    items = data.valid if scores is None else scores.items
    probabilities = result.probabilities.numpy() if scores is None else scores.probabilities
    truth = np.array([data.vocab.index(item.label) for item in items])
    split = "validation" if scores is None else "test"
    write_summary(folder, model_quality(truth, probabilities, data.vocab, split), log, "evaluation.json")


def _folder_of(items: Sequence[Example], root: Path) -> Path:
    """The channel below ``root`` that all ``items`` lie in; else ``root``."""
    if not all(item.path.is_relative_to(root) for item in items):  # unpacked from records
        return root
    channels = {item.path.relative_to(root).parts[0] for item in items}
    return root / channels.pop() if len(channels) == 1 else root


def _summary(
    result: Result,
    data: Data,
    details: ModelManifest,
    parameters: HyperParameters,
    processes: Processes,
    test: Evaluation | None,
) -> dict[str, Any]:
    """The content of summary.json."""
    from fastai_training.fitting.folds import fold_facts

    return {
        "metrics": result.metrics | ({} if test is None else {"test_error_rate": test.error_rate}),
        "classes": len(data.vocab),
        "training_pictures": len(data.train),
        "validation_pictures": len(data.valid),
        "test_pictures": 0 if test is None else test.pictures,
        "left_out": len(data.skipped),
        "labels_from": data.source,
        "notes": [
            {"channel": channel, "text": utf8(note.text), "example": utf8(note.example)} for channel, note in data.notes
        ],
        "pretrained_weights": result.weights,
        "lineage": result.lineage,
        "processes": processes.world,
        "precision": result.precision,
        "exported_epoch": result.epoch,
        "folds": fold_facts(result.folds) if result.folds else None,
        "program": details.program,
        "training_seconds": round(result.seconds, 1),
        "hyperparameters": asdict(parameters),
        "versions": details.versions,
    }


def write_results(
    paths: MLPaths,
    channels: Channels,
    result: Result,
    data: Data,
    details: ModelManifest,
    parameters: HyperParameters,
    processes: Processes,
) -> None:
    """Write what is worth keeping of the run beside the model, tables, summary and report; ends with the final line."""
    folder = paths.output_data
    root = channels.validation or channels.training
    scores = _score_test_set(paths, data)
    test = _evaluate_test_set(scores, data)
    summary = _summary(result, data, details, parameters, processes, test)
    write_history(folder, result.history, log)
    write_predictions(folder, root, data.valid, result.probabilities, data.vocab, log)
    if scores is not None:
        origin = _folder_of(scores.items, paths.data)
        write_predictions(folder, origin, scores.items, scores.probabilities, data.vocab, log, "test_predictions.csv")
    _write_evaluation(folder, result, data, scores)
    write_summary(folder, summary, log)
    _report(folder, data, result, root, summary, test)
    served = details.program["scores"][details.program["precision"]]
    final = {"serving_error_rate": served["error_rate"], "serving_milliseconds": served["milliseconds"]}
    log(final_line(summary["metrics"] | {"training_seconds": result.seconds} | final))


def _report(
    folder: Path, data: Data, result: Result, root: Path, summary: dict[str, Any], test: Evaluation | None
) -> None:
    """Write the report; the model is written already, and a chart that can't be drawn is no reason to lose it."""
    from fastai_training.reporting.report import Run, write_report

    counts = Counter(item.label for item in data.train)
    run = Run(
        root,
        data.valid,
        result.probabilities.numpy(),
        data.vocab,
        result.history,
        data.skipped,
        summary,
        dict(counts),
        test,
    )
    try:
        written = write_report(folder, run, log)
    except Exception as error:
        traceback.print_exc()
        log(f"warning: there is no report of this run, writing it failed: {error_sentence(error)}")
    else:
        if written:
            log(f"report written to {folder / 'report.html'}")
