from __future__ import annotations

import re
from pathlib import Path

from fastai_container import sagemaker


def test_every_block_of_facts_names_its_source():
    source = Path(sagemaker.__file__).read_text(encoding="utf-8")
    pages = re.findall(r"https://\S+", source)
    assert all(
        page.startswith(("https://docs.aws.amazon.com/sagemaker/latest/", "https://github.com/aws/")) for page in pages
    )
    first = source.index("\nBASE_DIR =")
    assert source.index(pages[0]) < first, "the first fact stands before the first source"


def test_stop_times_leave_room_before_sagemaker_kills():
    from fastai_training.job.child_process import STOP_SECONDS

    assert 0 < STOP_SECONDS < sagemaker.TRAINING_STOP_SECONDS
