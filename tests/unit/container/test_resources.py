from __future__ import annotations

import pytest

from fastai_container import resources


@pytest.mark.parametrize(("quota", "cores"), [(None, 8), (2.0, 2), (1.5, 2), (0.1, 1), (64.0, 8)])
def test_a_quota_is_rounded_up_and_bounded_by_the_affinity_mask(monkeypatch, quota, cores):
    monkeypatch.setattr(resources, "cpu_quota", lambda: quota)
    monkeypatch.setattr(resources.os, "sched_getaffinity", lambda _pid: set(range(8)))
    assert resources.cpu_count() == cores


def test_a_containers_memory_limit_counts(monkeypatch):
    monkeypatch.setattr(resources, "memory_limit_bytes", lambda: 5 * 2**20)
    assert resources.free_memory_bytes() <= 5 * 2**20
    assert resources.total_memory_bytes() == 5 * 2**20


@pytest.mark.parametrize(("visible", "count"), [("", 0), ("0", 1), ("0,1,2", 3), ("1,-1,0", 1), ("-1", 0)])
def test_visible_gpus(visible, count):
    assert resources.visible_gpu_count({"CUDA_VISIBLE_DEVICES": visible}) == count


def test_without_a_driver_no_gpu_is_visible(monkeypatch):
    monkeypatch.setattr(resources.shutil, "which", lambda _name: None)
    assert resources.visible_gpu_count({}) == 0


def test_a_driver_lists_the_gpus(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: x)'\necho 'GPU 1: B (UUID: y)'\necho 'No other'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert resources.visible_gpu_count({}) == 2
