"""Shared fixtures."""

from __future__ import annotations

import os

import pytest
import torch


def pytest_addoption(parser):
    parser.addoption(
        "--moments", type=int, default=1, help="at how many random moments a rank is killed"
    )
    parser.addoption(
        "--runs", type=int, default=24, help="short runs one after another in one process"
    )
    parser.addoption(
        "--record", default=None, help="a file for what these runs were found to leave behind"
    )
    parser.addoption(
        "--every", action="store_true", help="all maps with all preconditioners, where few will do"
    )
    parser.addoption("--gpu", action="store_true", help="let tests see the GPUs of this machine")


def pytest_configure(config):
    if not config.getoption("--gpu"):  # CPU tests are CPU tests on every machine
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_generate_tests(metafunc):
    if "moment" in metafunc.fixturenames:
        metafunc.parametrize("moment", range(metafunc.config.getoption("--moments")))


@pytest.fixture(autouse=True)
def _double_precision():
    """Tests decide in float64; threads of parallel tests must not fight."""
    torch.set_num_threads(1)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(before)
