"""What a user sees of a job that fails or is stopped: exit code, /opt/ml/output/failure, log. Real containers."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.contract.conftest import Job, TrainingContainer, start_training
from tests.waiting import PATIENCE

pytestmark = pytest.mark.engine

CODE = "/opt/ml/input/data/code"
SCRIPT = {"sagemaker_program": json.dumps("train.py"), "sagemaker_submit_directory": CODE}
NASTY = 'it\'s "quoted", $(touch /tmp/ran) `id` ; & | > \\ *\n%s {x} é 猫\ttab'


def write_code(folder: Path, **files: str) -> Path:
    """``name_py="..."`` becomes ``name.py``."""
    code = folder / "submitted"
    code.mkdir()
    for name, text in files.items():
        (code / name.replace("_sh", ".sh").replace("_py", ".py").replace("_txt", ".txt")).write_text(
            textwrap.dedent(text)
        )
    return code


@pytest.fixture
def start_script(engine: docker.DockerClient, sagemaker_folder: Path) -> Callable[..., TrainingContainer]:
    """``start_script(text, hyperparameters, **options)`` starts a job on train.py with that text."""

    def start(text: str, hyperparameters: Mapping[str, str] | None = None, **options: Any) -> TrainingContainer:
        code = write_code(sagemaker_folder, train_py=text)
        return start_training(engine, sagemaker_folder, {"code": code}, SCRIPT | dict(hyperparameters or {}), **options)

    return start


@pytest.fixture
def run_script(start_script: Callable[..., TrainingContainer]) -> Callable[..., Job]:
    return lambda *arguments, **options: start_script(*arguments, **options).wait(120)


def reason(job: Job) -> str:
    assert job.failure is not None, job.log
    assert 0 < len(job.failure) <= 1024
    return job.failure


def wait_for_log(running: TrainingContainer, text: str, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while text not in running.container.logs().decode(errors="replace"):
        assert time.monotonic() < end, running.container.logs().decode(errors="replace")
        time.sleep(0.2)


def test_a_script_that_raises(run_script: Callable[..., Job]):
    job = run_script(
        """\
        import sys
        print("reading the labels")
        def read_labels(path):
            raise ValueError(f"{path}: line 3 has no label")
        print("a warning", file=sys.stderr)
        read_labels("labels.csv")
        """
    )
    assert job.exit_code == 1
    lines = reason(job).splitlines()
    assert lines[0] == "ValueError: labels.csv: line 3 has no label"
    assert lines[1] == 'in train.py, line 4, in read_labels: raise ValueError(f"{path}: line 3 has no label")'
    assert "train.py: exit code 1" in lines
    assert "a warning" in lines[lines.index("Last output:") :]
    assert "Traceback (most recent call last)" in job.log  # it passes through as it is
    assert "reading the labels" in job.log
    assert not (job.folder / "output" / "success").exists()
    assert not (job.folder / "output" / ".reserved").exists()


def test_a_script_that_does_not_compile(run_script: Callable[..., Job]):
    job = run_script("epochs = 3\nfor epoch in range(epochs)\n    print(epoch)\n")
    assert job.exit_code == 1
    lines = reason(job).splitlines()
    assert lines[0].startswith("SyntaxError: ")
    assert lines[1].startswith("in train.py, line 2: for epoch in range(epochs)") or "line 2" in lines[1]


def test_a_script_that_exits_with_7(run_script: Callable[..., Job]):
    job = run_script("import sys\nprint('no pictures of class 3', file=sys.stderr)\nsys.exit(7)\n")
    assert job.exit_code == 7
    assert "exit code 7" in reason(job)
    assert "no pictures of class 3" in reason(job)


def test_a_code_that_is_no_signals(run_script: Callable[..., Job]):
    job = run_script("raise SystemExit(-1)\n")
    assert job.exit_code == 255
    assert reason(job).startswith("train.py ended with exit code 255")


def test_a_wrong_argument(run_script: Callable[..., Job]):
    script = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--epochs', type=int)\np.parse_args()\n"
    job = run_script(script, {"epochs": "many"})
    assert job.exit_code == 2
    assert reason(job).startswith("argument --epochs: invalid int value: 'many'")


def test_out_of_memory_is_told(run_script: Callable[..., Job]):
    script = "print('filling', flush=True)\nkept = []\nwhile True:\n    kept.append(bytearray(10 << 20))\n"
    job = run_script(script, mem_limit="256m", memswap_limit="256m")
    assert job.exit_code == 137
    assert reason(job).startswith(
        "out of memory: the kernel killed training at the container's limit of 256 MiB; lower"
    )


def test_a_worker_killed_for_memory_is_told(run_script: Callable[..., Job]):
    job = run_script(
        """\
        import subprocess, sys
        fill = "kept = []\\nwhile True: kept.append(bytearray(10 << 20))"
        subprocess.run([sys.executable, "-c", fill], check=True)
        """,
        mem_limit="256m",
        memswap_limit="256m",
    )
    assert job.exit_code == 1
    lines = reason(job).splitlines()
    assert lines[0].startswith("out of memory: ")
    assert lines[1].startswith("CalledProcessError: ")


def test_killed_by_a_signal_is_told_from_out_of_memory(run_script: Callable[..., Job]):
    job = run_script("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    assert job.exit_code == 137
    assert reason(job).startswith("training was killed from outside (SIGKILL), not for memory")


def test_an_exception_is_the_reason_when_the_interpreter_aborts_after_it(run_script: Callable[..., Job]):
    # As torch does now and then, when a thread of gloo's is at work while the interpreter ends.
    job = run_script(
        """\
        import atexit, os, sys
        def end():
            print("terminate called without an active exception", file=sys.stderr, flush=True)
            os.abort()
        atexit.register(end)
        raise ValueError("the label of picture 7 is empty")
        """
    )
    assert job.exit_code == 1
    lines = reason(job).splitlines()
    assert lines[0] == "ValueError: the label of picture 7 is empty"
    assert lines[1].startswith("in train.py, line 6: raise ValueError(")
    assert lines[2] == "train.py: exit code 1"
    assert "terminate called" in job.log


def test_a_crash_is_told(run_script: Callable[..., Job]):
    job = run_script("import ctypes\nctypes.string_at(0)\n")
    assert job.exit_code == 139
    assert reason(job).startswith("training crashed (SIGSEGV)")


def test_a_full_disk_is_told(run_script: Callable[..., Job]):
    script = "with open('/scratch/big', 'wb') as file:\n    file.write(bytes(8 << 20))\n"
    job = run_script(script, tmpfs={"/scratch": "size=1m"})
    assert job.exit_code == 1
    lines = reason(job).splitlines()
    assert lines[0].startswith("the disk is full")
    assert lines[1] == "OSError: [Errno 28] No space left on device"
    assert lines[2].startswith("in train.py, line ")


def test_hyperparameters_arrive_as_they_are(run_script: Callable[..., Job]):
    script = "import json, os, sys\nprint('SEEN', json.dumps([sys.argv[1:], dict(os.environ)]))\n"
    given = {"note": NASTY, "dashed": "--epochs", "negative": "-0.5", "empty": "", "encoded": json.dumps(NASTY)}
    job = run_script(script, given | {"numbers": "[1, 2]", "flag": "true"})
    assert job.exit_code == 0, job.log
    seen = next(line for line in job.log.splitlines() if line.startswith("SEEN "))
    arguments, environment = json.loads(seen[5:])
    assert arguments == [
        *("--dashed=--epochs", "--empty", "", "--encoded", NASTY, "--flag", "True", "--negative", "-0.5"),
        *("--note", NASTY, "--numbers", "[1, 2]"),
    ]
    assert environment["SM_HP_NOTE"] == NASTY
    assert json.loads(environment["SM_HPS"])["encoded"] == NASTY
    assert environment["SM_MODEL_DIR"] == "/opt/ml/model"
    assert environment["SM_CHANNEL_CODE"] == CODE
    assert environment["SM_CURRENT_HOST"] == "algo-1"
    assert environment["SM_OUTPUT_DATA_DIR"] == "/opt/ml/output/data"


def test_secrets_are_masked(run_script: Callable[..., Job]):
    script = """\
        import os, sys
        raise RuntimeError(f"login as {os.environ['DB_PASSWORD']} with {sys.argv} failed at https://me:pa55word@host/x")
        """
    job = run_script(
        script,
        {"api_token": "tok-abcdef123", "epochs": "3", "sagemaker_container_log_level": "10"},
        environment={"DB_PASSWORD": "correct horse battery", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIK7MDENGbPxRfiCY"},
    )
    assert job.exit_code == 1
    for secret in ("correct horse battery", "tok-abcdef123", "pa55word"):
        assert secret not in reason(job)
    assert "login as ****** with" in reason(job)
    # What we log of hyperparameters and environment; the script's own traceback is its own affair.
    ours = job.log.partition("Traceback")[0]
    assert '"api_token": "******"' in ours
    assert '"epochs": 3' in ours
    assert "DB_PASSWORD=******" in ours
    assert "AWS_SECRET_ACCESS_KEY=******" in ours
    assert "SM_HP_API_TOKEN=******" in ours
    for secret in ("correct horse battery", "tok-abcdef123", "wJalrXUtnFEMI"):
        assert secret not in ours


def test_a_stop_reaches_the_script(start_script: Callable[..., TrainingContainer]):
    running = start_script(
        """\
        import signal, sys, time
        def stop(number, frame):
            time.sleep(1)  # the batch
            open("/opt/ml/checkpoints/last", "w").write("saved")
            sys.exit(143)
        signal.signal(signal.SIGTERM, stop)
        print("training", flush=True)
        time.sleep(300)
        """
    )
    wait_for_log(running, "training\n")
    running.container.stop(timeout=PATIENCE)
    job = running.wait()
    assert job.exit_code == 143
    assert (job.folder / "checkpoints" / "last").read_text() == "saved"
    assert job.failure is None
    assert "training was stopped by SIGTERM" in job.log


def test_a_stop_reaches_what_a_shell_script_waits_for(engine: docker.DockerClient, sagemaker_folder: Path):
    code = write_code(
        sagemaker_folder,
        run_sh='#!/bin/sh\npython3 train.py "$@"\necho "after: $?"\n',
        train_py="""\
            import signal, sys, time
            def stop(number, frame):
                time.sleep(1)
                open("/opt/ml/checkpoints/last", "w").write(" ".join(sys.argv[1:]))
                sys.exit(0)
            signal.signal(signal.SIGTERM, stop)
            print("training", flush=True)
            time.sleep(300)
            """,
    )
    parameters = {"sagemaker_program": "run.sh", "sagemaker_submit_directory": CODE, "text": "two words"}
    running = start_training(engine, sagemaker_folder, {"code": code}, parameters)
    wait_for_log(running, "training\n")
    running.container.stop(timeout=PATIENCE)
    job = running.wait()
    assert (job.folder / "checkpoints" / "last").read_text() == "--text two words"
    assert job.exit_code == 143
    assert job.failure is None


def test_the_built_in_program_gets_a_stop(engine: docker.DockerClient, sagemaker_folder: Path, pets: Path):
    running = start_training(
        engine, sagemaker_folder, {"training": pets}, {"arch": "efficientnet_lite0", "epochs": "50"}
    )
    wait_for_log(running, "channel training:")
    running.container.stop(timeout=PATIENCE)
    job = running.wait()
    assert job.exit_code == 143  # 137: it did not end in time
    assert job.failure is None


def test_orphans_are_reaped_and_output_is_left_as_it_is(run_script: Callable[..., Job]):
    job = run_script(
        """\
        import pathlib, subprocess, sys, time
        for _ in range(20):
            subprocess.run(["sh", "-c", "sleep 0.1 &"])
        sys.stdout.write("10%\\r50%\\r100%\\n")
        sys.stdout.write("no line's end yet")
        sys.stdout.flush()
        time.sleep(1.5)
        states = [p.read_text().rpartition(")")[2].split()[0] for p in pathlib.Path("/proc").glob("[0-9]*/stat")]
        print("\\nzombies:", states.count("Z"), "tty:", sys.stdout.isatty())
        """
    )
    assert job.exit_code == 0
    assert "zombies: 0 tty: False" in job.log
    assert "10%\r50%\r100%\nno line's end yet\n" in job.log


def test_a_terminal_stays_one(run_script: Callable[..., Job]):
    job = run_script("import sys\nprint('tty:', sys.stdout.isatty())\nprint('next')\n", tty=True)
    assert job.exit_code == 0
    assert "tty: True\r\nnext\r\n" in job.log


def test_a_failure_that_the_script_wrote_is_kept(run_script: Callable[..., Job]):
    job = run_script("open('/opt/ml/output/failure', 'w').write('the labels of batch 3')\nraise SystemExit(4)\n")
    assert job.exit_code == 4
    assert reason(job) == "the labels of batch 3"
