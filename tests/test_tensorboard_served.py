"""A study as TensorBoard itself serves it, with its fast data server and without, and as it looks in a browser."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request

import pytest
from processes import Command

SWEEP = ["-m", "dataset=digits", "dataset.train_size=200", "train.epochs=1", "num_seeds=2", "model.width=8",
         "train.threads=1", "study=s"]  # fmt: skip
RUNS = {"relu", "relu/seed=0", "relu/seed=1", "gelu", "gelu/seed=0", "gelu/seed=1"}


@contextlib.contextmanager
def served(logdir, *options):
    """The address of a TensorBoard."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir), "--port", "0", "--host", "127.0.0.1"]
    process = subprocess.Popen([*command, "--reload_interval", "1", *options], stderr=subprocess.PIPE, text=True)
    try:
        said = []
        while not said or "Press CTRL+C" not in said[-1]:
            said.append(process.stderr.readline())
            assert said[-1], "".join(said)
        threading.Thread(target=process.stderr.read, daemon=True).start()  # so that it never waits for a reader
        yield re.search(r"http://[\d.]+:\d+", said[-1])[0]
    finally:
        process.terminate()
        process.wait(30)
        process.stderr.close()


def asked(url, question=None):
    data = None if question is None else json.dumps(question).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def when(true_of, ask, timeout=100):
    """The first answer of which something is true: TensorBoard reads files in the background."""
    ends = time.monotonic() + timeout
    while not true_of(answer := ask()):
        assert time.monotonic() < ends, answer
        time.sleep(0.2)
    return answer


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    done = Command(*SWEEP, "activation=relu,gelu", cwd=home).wait()
    assert (done.returncode, done.stderr) == (0, "")
    assert "look inside  tensorboard --logdir outputs/s/tensorboard\n" in done.stdout
    return home


@pytest.fixture(scope="module", params=["fast", "slow"])
def board(request, home, tmp_path_factory):
    """The study's folder for TensorBoard, a copy for each server, and the address where it is served."""
    copy = tmp_path_factory.mktemp(request.param) / "outputs"
    shutil.copytree(home / "outputs", copy)
    with served(copy / "s" / "tensorboard", *([] if request.param == "fast" else ["--load_fast=false"])) as url:
        ended = "accuracy/test"
        when(
            lambda tags: {*tags} == RUNS and all(ended in of_run for of_run in tags.values()),
            lambda: asked(f"{url}/data/plugin/scalars/tags"),
        )
        yield copy, url


def test_runs_have_short_names_and_tags_no_bounds(board):
    _, url = board
    scalars = asked(f"{url}/data/plugin/scalars/tags")
    tags = {tag for of_run in scalars.values() for tag in of_run}
    assert {*scalars["relu"]} == {*scalars["relu/seed=0"]}
    assert {"accuracy/test", "accuracy/val", "loss/val", "dead_ratio/all", "dead_ratio/hidden1"} <= tags
    assert not [tag for tag in tags if re.search("/(low|high)$", tag)]
    series = asked(f"{url}/data/plugin/timeseries/tags")
    assert {*series["scalars"]["runTagInfo"]} == RUNS
    assert {*series["images"]["tagRunSampledInfo"]} == {"activation/relu", "activation/gelu"}
    assert {*series["histograms"]["runTagInfo"]} == {run for run in RUNS if "seed" in run}
    assert asked(f"{url}/data/plugin/text/tags") == {"relu": ["diagnosis"], "gelu": ["diagnosis"]}
    assert asked(f"{url}/data/plugin/custom_scalars/layout") in ({}, None)


def rows(url, order):
    metric = {"metric": {"tag": "accuracy/test"}, "order": order, "includeInResult": True}
    columns = [{"hparam": "activation", "includeInResult": True}, metric]
    statuses = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]
    question = {"startIndex": 0, "sliceSize": 100, "allowedStatuses": statuses, "colParams": columns}
    return asked(f"{url}/data/plugin/hparams/session_groups", question)["sessionGroups"]


def test_hparams_have_a_row_for_each_configuration_that_can_be_sorted(board):
    copy, url = board
    of_files = {}
    for path in (copy / "s").glob("*/summary.json"):
        content = json.loads(path.read_text())
        of_files[content["activation"]] = content["metrics"]["test_accuracy"]["mean"]
    for order, best_first in (("ORDER_DESC", True), ("ORDER_ASC", False)):
        found = rows(url, order)
        told = [
            next(metric["value"] for metric in row["metricValues"] if metric["name"]["tag"] == "accuracy/test")
            for row in found
        ]
        assert told == pytest.approx(sorted(of_files.values(), reverse=best_first), rel=1e-5)
        assert {row["name"]: value for row, value in zip(found, told, strict=True)} == pytest.approx(of_files, rel=1e-5)
        assert all(row["hparams"]["activation"] == row["name"] for row in found)
    about = asked(f"{url}/data/plugin/hparams/experiment", {"experimentName": ""})
    assert [info["name"] for info in about["hparamInfos"]] == ["activation"]
    shown = [metric["displayName"] for metric in about["metricInfos"]][:5]
    assert shown == ["test accuracy %", "dead units (ratio)", "validation accuracy %", "dormant (ratio)", "test loss"]
    assert all(not metric["name"].get("group") for metric in about["metricInfos"])


def test_what_is_added_appears_and_all_studies_show_each_run_once(board):
    """Last: it adds a configuration to the study, and a seed to one whose mean TensorBoard has read already."""
    copy, url = board
    more = [word if word != "num_seeds=2" else "num_seeds=3" for word in SWEEP]
    done = Command(*more, "activation=relu,tanh", f"output_dir={copy}", cwd=copy.parent).wait()
    assert done.returncode == 0, done.stderr
    expected = RUNS | {"relu/seed=2", "tanh", "tanh/seed=0", "tanh/seed=1", "tanh/seed=2"}
    when(lambda runs: {*runs} == expected, lambda: asked(f"{url}/data/runs"))
    files = [json.loads(path.read_text()) for path in (copy / "s").glob("*/summary.json")]
    for tag, metric, step in (("accuracy/test", "test_accuracy", 1), ("accuracy/val", "val_accuracy", 1)):
        seeds = [v for one in files if one["activation"] == "relu" for v in one["metrics"][metric]["values"]]
        assert len(seeds) == 3
        mean = pytest.approx(sum(seeds) / 3, rel=1e-5)
        when(
            lambda series, mean=mean, step=step: [(at, value) for _, at, value in series] == [(step, mean)],
            lambda tag=tag: asked(f"{url}/data/plugin/scalars/scalars?run=relu&tag={tag}"),
        )
    texts = {name: ["diagnosis"] for name in ("relu", "gelu", "tanh")}
    when(lambda tags: tags == texts, lambda: asked(f"{url}/data/plugin/text/tags"))
    assert {row["name"] for row in rows(url, "ORDER_DESC")} == {*texts}
    assert len(asked(f"{url}/data/plugin/images/images?run=relu&tag=activation/relu&sample=0")) == 1
    if "fast" not in str(copy):
        return
    with served(copy) as all_studies:
        outside = {f"s/tensorboard/{run}" for run in expected}
        when(lambda runs: {*runs} == outside, lambda: asked(f"{all_studies}/data/runs"))


def test_it_looks_right_in_a_browser(home):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("there is no Chromium")
    with served(home / "outputs/s/tensorboard") as url, playwright.sync_playwright() as started:
        when(lambda runs: {*runs} == RUNS, lambda: asked(f"{url}/data/runs"))
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(f"{url}/#timeseries")
        for name in RUNS:
            page.locator("tb-data-table-content-row, runs-data-table").get_by_text(name, exact=True).first.wait_for()
        page.goto("about:blank")
        page.goto(f"{url}/#hparams")
        for heading in ("activation", "test accuracy %", "dead units (ratio)", "validation accuracy %"):
            cell = page.locator("tf-hparams-table-view").get_by_text(heading, exact=True).first
            cell.wait_for()
            place = cell.bounding_box()
            assert place["x"] + place["width"] <= 1400, heading  # in sight without scrolling
        browser.close()
