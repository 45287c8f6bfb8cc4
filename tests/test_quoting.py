"""Quoting: a text that is typed reads as it was typed, and a command that is printed is the command when it is pasted."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess

import pytest
from command_lines import answer, check
from processes import Command

from actbench.command.override import read
from actbench.command.quoting import as_typed, command, for_hydra, split, typed

TEXTS = [
    "plain", "2024", "1e3", "true", "null", "a=b", "q,w=1", "a b", "jürgen", "数据", "a#b", "it's", 'say "so"', "a\\b",
    "back\\", "(a)", "[a]", "{a:1}", "a:b", "a+b", "dir(1)", "a;b", "a&b", "a|b", "$HOME", "`x`", "*", "~x", " lead", "a\tb",
    "-x", "--", "é=ü,ö", "a''b", '"', "'", "\\'", '\\"', "x" * 300, "🙂", "a\nb",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("key", ["study", "output_dir"])
def test_a_text_is_what_was_typed(key, text):
    parsed = read(for_hydra(f"{key}={text}")).parsed
    assert parsed is not None
    assert not parsed.is_sweep_override()
    assert parsed.value() == text
    assert as_typed(for_hydra(f"{key}={text}")) == f"{key}={text}"


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("multirun", [False, True])
def test_what_is_told_for_a_text_reads_as_that_text(text, multirun):
    told = typed("study", text, multirun=multirun)
    parsed = read(for_hydra(told, multirun=multirun)).parsed
    assert not parsed.is_sweep_override()
    assert parsed.value() == text


@pytest.mark.parametrize("override", ["activation=relu,gelu", "model.channels=[16,32]", "study='a b'", "optimizer.lr=1e-3",
                                      "seed=range(0,3)", "activation=glob(*elu)", "study=${seed}", "trust=[a,b]", "experiment=null"])  # fmt: skip
def test_what_hydra_can_read_stays(override):
    assert for_hydra(override) == override


@pytest.mark.parametrize("text", TEXTS)
def test_other_values_that_hydra_cannot_read_are_texts(text):
    override = for_hydra(f"activation={text}")
    assert read(override).parsed is not None or any(not part.strip() for part in split(text))


@pytest.mark.parametrize("text", TEXTS)
def test_a_printed_command_is_the_same_in_bash(text):
    words = ["-m", f"study={text}", typed("output_dir", text)]
    done = subprocess.run(
        ["bash", "-c", f"actbench() {{ printf '%s\\0' \"$@\"; }}; {command(words)}"], capture_output=True, check=True
    )
    assert done.stdout.decode().split("\0")[:-1] == words
    assert shlex.split(command(words))[1:] == words


@pytest.mark.parametrize("word", ["study=q,w=1", "study=a=b", "study='a=b'", "study=jürgen", "output_dir=a b", "output_dir=ü#=,x",
                                  'output_dir="a,b"'])  # fmt: skip
def test_plain_texts_simply_work(word, tmp_path, monkeypatch):
    given = answer([word, "dataset=digits"], tmp_path, monkeypatch)
    assert "starts:" in given.text, given.text
    check(given, tmp_path)


def test_a_word_that_is_not_utf8_is_told(tmp_path, monkeypatch):
    given = answer(["study=\udcff"], tmp_path, monkeypatch)
    assert "is not UTF-8" in given.text
    check(given, tmp_path)


@pytest.mark.parametrize("study", ["study=q,w=1", "study='ü = 1'", None])
def test_the_command_that_goes_on_is_the_same_command(tmp_path, study):
    words = [
        "dataset=digits",
        "num_seeds=1",
        "train.threads=1",
        "train.epochs=400",
        "output_dir=a ü",
        "model.width=8",
        "tensorboard=false",
    ]
    running = Command(*words, *([study] if study else []), cwd=tmp_path)
    running.wait_for("epoch 2/400")
    running.send(signal.SIGINT)
    (told,) = re.findall(r"to go on:  (actbench .*)", running.wait().stderr)
    (folder,) = (tmp_path / "a ü").glob("*/*/settings.yaml")
    shown = subprocess.run(
        ["bash", "-c", f"actbench() {{ printf '%s\\0' \"$@\"; }}; {told}"], capture_output=True, check=True
    )
    pasted = shown.stdout.decode().split("\0")[:-1]
    again = Command(*pasted, cwd=tmp_path)
    again.wait_for("going on after epoch")
    again.send(signal.SIGINT)
    assert told in again.wait().stderr
    assert list((tmp_path / "a ü").glob("*/*/settings.yaml")) == [folder]
