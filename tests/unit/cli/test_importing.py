"""Imports leave the garbage collector as it was."""

from __future__ import annotations

import gc

import pytest

from hpc_wgf.cli.importing import importing


def test_the_collector_rests_and_goes_on_even_after_an_error():
    seen = []

    def failing():
        with importing():
            seen.append(gc.isenabled())
            raise ImportError

    with pytest.raises(ImportError):
        failing()
    assert seen == [False]
    assert gc.isenabled()
    gc.disable()
    try:
        with importing():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
