"""Why a job failed, from all that PID 1 knows: how its program ended, what it said, other hosts, memory, disks."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

from fastai_container.errors import printable
from fastai_container.paths import MLPaths
from fastai_training.diagnosis import failure_reason as failure
from fastai_training.diagnosis import tracebacks, volumes
from fastai_training.diagnosis.hints import hint
from fastai_training.diagnosis.symptoms import is_lost_peer
from fastai_training.job.child_process import Outcome
from fastai_training.job.host_failures import PeerFailure
from fastai_training.job.hosts import Cluster
from fastai_training.job.log_tail import Tail
from fastai_training.job.oom_kills import OomCount
from fastai_training.job.secret_masking import Mask

#: A shell, or torchrun, passes its child's death by one of these on as an exit code of 128 and more.
_DEADLY = (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)


@dataclass
class RunningJob:
    """What the reason of a failure is made of; ``memory`` is the count of OOM kills when the job began."""

    paths: MLPaths
    program: str
    cluster: Cluster
    tail: Tail
    memory: OomCount
    mask: Mask

    @property
    def folders(self) -> tuple[Path, ...]:
        return volumes.of_job(self.paths)

    def reason(self, outcome: Outcome, code: int, peer: PeerFailure | None, stopped: list[str]) -> str:
        """The failure's whole text. ``peer``: another host's failure; ``stopped``: hosts that ended before this one."""
        errors = self.tail.lines("stderr")
        fault, before = tracebacks.find_fault(errors, self.paths.code)
        if fault is None:
            fault, last = tracebacks.find_fault(self.tail.lines(), self.paths.code)
        else:
            last = self._without_traceback(len(before))
        error = tracebacks.error_line(errors) or tracebacks.error_line(self.tail.lines())
        headline = [self._headline(outcome, code, fault, error)]
        if fault is not None and headline[0] != fault.exception:
            headline.append(fault.exception)
        if fault is not None and fault.place:
            headline.append(f"in {fault.place}")
        if peer is not None and (outcome.aborted or is_lost_peer(fault.exception if fault else error)):
            headline = [str(peer), *(f"here: {text}" for text in headline[:2] if not outcome.aborted)]
        elif stopped and fault is not None and is_lost_peer(fault.exception):
            headline.insert(0, f"host {', '.join(stopped)} ended before this one")
        headline.append(f"{self.program}: exit code {code}")
        shown = [printable(self.mask(text)) for text in headline]
        return self.mask(failure.compose(shown, [self.mask(text) for text in last]))

    def _without_traceback(self, errors: int) -> list[str]:
        """The output without what came on stderr after the first ``errors`` lines there."""
        kept = []
        for stream, text in self.tail.entries():
            errors -= stream == "stderr"
            if stream != "stderr" or errors >= 0:
                kept.append(text)
        return kept

    def _headline(self, outcome: Outcome, code: int, fault: tracebacks.Fault | None, error: str) -> str:
        if outcome.killed and outcome.stopped_by is not None:
            return failure.NOT_STOPPED_IN_TIME
        text = fault.exception if fault is not None else error
        oom = OomCount.read().killed_since(self.memory)
        number = -outcome.status if outcome.status < 0 else code - 128
        if code > 128 and not outcome.aborted and (outcome.status < 0 or number in _DEADLY):
            said = tracebacks.abort_message(self.tail.lines("stderr"))
            cause = failure.resource_reason(said, self.folders)
            return f"{cause} ({said})" if cause else failure.signal_reason(number, oom, said)
        if oom:
            return failure.out_of_memory()
        # Of a crash in a library the exception may not say it, but what was printed before does.
        recent = "\n".join([text, *self.tail.lines()[-30:]])
        return (
            failure.resource_reason(text or recent, self.folders)
            or hint(text, self.paths.code, "\n".join(self.tail.lines()))
            or text
            or f"{self.program} ended with exit code {code}"
        )
