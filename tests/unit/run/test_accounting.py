"""The account of a run in its store: all of its seconds, also those of legs before."""

from __future__ import annotations

import json
import time

import numpy as np

import hpc_wgf as wgf
from hpc_wgf.accounts import Account, Part, seconds_by_part

SMALL = ["method.samples=256", "problem.until=0.1", "method.step=0.05",
         'map=[{kind="affine"}, {kind="block", width=4}]']  # fmt: skip


def run(path, *settings, resume=False):
    spec = wgf.load_problem("ou-2d", *SMALL, *settings)
    return wgf.solve(*spec, path, resume=resume)


def test_a_store_keeps_every_second_of_a_run_and_of_its_resumption(tmp_path):
    begun = time.perf_counter()
    first = run(tmp_path / "run")
    took = time.perf_counter() - begun
    (entry,) = wgf.open_run(tmp_path / "run").attributes["account"]
    assert entry == first.summary.account[0]
    total = sum(seconds_by_part([entry]).values())
    # What comes after the account is written and a summary are left out.
    assert 0.5 * took < total < took
    parts = entry["parts"]
    # A few draws for the map's layout, the evaluation sample, and two steps.
    assert {"checks", "draws", "products", "preconditioner", "evaluation", "output"} <= set(parts)
    assert parts["preconditioning"]["entries"] >= parts["products"]["entries"] // 2
    assert "pilot runs" not in parts
    # The solve at the end is none of a step's.
    of_steps = wgf.open_run(tmp_path / "run").column("step_products").sum()
    assert 0 < of_steps < parts["products"]["entries"]
    again = run(tmp_path / "run", "problem.until=0.15", resume=True)
    (sum_of_both,) = again.summary.account
    for name, figures in parts.items():
        assert sum_of_both["parts"][name]["seconds"] >= figures["seconds"], name
    assert sum_of_both["parts"]["evaluation"]["seconds"] > parts["evaluation"]["seconds"]


def test_both_triangles_of_least_squares_count_as_preconditioning():
    account = Account()
    with account.opened(Part.REST):
        spec = wgf.load_problem("ou-2d", *SMALL, "method.solver=lsmr", "problem.until=0.05")
        wgf.solve(*spec)
    spent = account.spent()
    assert spent[Part.PRECONDITIONING].entries >= spent[Part.PRODUCTS].entries // 4 > 0


def test_an_older_store_has_none_and_goes_on(tmp_path):
    whole, torn = (run(tmp_path / name, "problem.until=0.1") for name in ("whole", "torn"))
    assert whole.summary.account
    document = tmp_path / "torn" / "zarr.json"
    before = json.loads(document.read_text())
    assert "account" in before["attributes"]["json"].split()
    from hpc_wgf.store.opening import committed

    metadata = committed(tmp_path / "torn")
    attributes = {k: v for k, v in metadata.attributes.items() if k != "account"}
    attributes["json"] = " ".join(n for n in attributes["json"].split() if n != "account")
    type(metadata)(attributes, metadata.arrays).publish(tmp_path / "torn")
    assert wgf.Summary.of_store(wgf.open_run(tmp_path / "torn")).account == []
    both = [run(tmp_path / name, "problem.until=0.15", resume=True) for name in ("whole", "torn")]
    assert both[1].summary.account
    thetas = [wgf.open_run(tmp_path / name).column("theta") for name in ("whole", "torn")]
    assert np.array_equal(*thetas)


def test_what_was_spent_before_is_none_of_the_run(tmp_path):
    with Account().opened(Part.REST) as account:
        time.sleep(0.3)
        before = time.perf_counter()
        solution = run(None)
        took = time.perf_counter() - before
    assert sum(seconds_by_part(solution.summary.account).values()) <= took
    assert account.spent()[Part.REST].seconds >= 0.3


def test_the_report_tells_where_the_time_went(capsys):
    from hpc_wgf.report import print_summary

    solution = run(None)
    print_summary(solution.summary)
    told = " ".join(capsys.readouterr().out.split())
    name, seconds = next(iter(seconds_by_part(solution.summary.account).items()))
    total = sum(seconds_by_part(solution.summary.account).values())
    assert f"s went: {name} {seconds / total:.0%}" in told


def test_each_row_has_the_account_up_to_it(tmp_path, monkeypatch):
    """As a run may be killed after it."""
    told = []
    from hpc_wgf.store import RunWriter

    commit = RunWriter.commit

    def kept(self, *args, attributes, **kwargs):
        told.append(attributes["account"][0]["parts"]["evaluation"]["seconds"])
        return commit(self, *args, attributes=attributes, **kwargs)

    monkeypatch.setattr(RunWriter, "commit", kept)
    run(tmp_path / "run")
    assert len(told) == wgf.open_run(tmp_path / "run").rows
    assert told == sorted(told)
    assert len(set(told)) == len(told)
