"""What Tab offers: over a table, as laws over every choice, and in a real interactive bash."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from actbench.choices import choices_of, conf_folders, groups, parameters_of, usual_values
from actbench.command import arguments
from actbench.command.completion import COMMANDS, FOLDERS, SHELLS, candidates
from actbench.command.conf_source import choice_of
from actbench.command.rules import plain_rules, rule_of
from actbench.command.shells import answer, split
from actbench.settings import GROUPS

ACTIVATIONS = [choice.name for choice in choices_of("activation")]


def offered(line: str, rest: str = "") -> list[str]:
    """The candidates of a line without the prefix that is not replaced, in alphabetical order."""
    return [found.partition("\t")[0] for found in answer(line, rest, "=:")]


TABLE = {
    "actbench li": ["list "],
    "actbench re": ["report "],
    "actbench ker": ["kernels "],
    "actbench compl": ["completion "],
    "actbench activation=relu rep": [],
    "actbench activation=le": ["leaky_relu "],
    "actbench -m activation=le": ["leaky_relu"],
    "actbench -m activation=relu,le": ["relu,leaky_relu"],
    "actbench -m activation=relu,gelu,gel": [],
    "actbench -m activation=relu,gelu,gel optimizer=a": ["adagrad", "adam", "adamw"],
    "actbench clip=": ["none ", "norm ", "value "],
    "actbench activation=leaky_relu activation.": ["activation.negative_slope="],
    "actbench activation=leaky_relu act": ["activation."],
    "actbench act": ["activation="],
    "actbench mod": ["model.", "model="],
    "actbench activation.": [],
    "actbench model.r": ["model.residual="],
    "actbench model.residual=": ["false ", "true "],
    "actbench model=vit model.residual=": [],
    "actbench model=vit model.h": ["model.heads="],
    "actbench experiment=mish_depth model.": [
        "model.channels=", "model.depth=", "model.kernel_size=", "model.width=",
    ],
    "actbench -m activation=prelu,swish activation.": ["activation.init=", "activation.num_parameters="],
    "actbench -m activation=leaky_relu,relu activation.": ["activation.negative_slope="],
    "actbench -m activation=relu,gelu activation.approximate=": ["none", "tanh"],
    "actbench -m +sweep=deep clip.": ["clip.max_norm="],
    "actbench activation=relu activation=gelu activation.": ["activation.approximate="],
    "actbench activation=gelu activation.approximate=": ["none ", "tanh "],
    "actbench upper_activation=gelu upper_activation.approximate=t": ["tanh "],
    "actbench upper_activation=n": ["none "],
    "actbench model=hybrid upper_activation.": ["upper_activation.approximate="],
    "actbench activation=prelu activation.num_parameters=": ["1 ", "units "],
    "actbench train.device=": ["auto ", "cpu ", "cuda ", "mps "],
    "actbench train.device=cuda:": [],
    "actbench train.precision=": ["bf16 ", "fp32 ", "tf32 "],
    "actbench train.engine=": ["auto ", "compiled ", "eager ", "graph "],
    "actbench -m train.precision=fp32,b": ["fp32,bf16"],
    "actbench train.en": ["train.engine="],
    "actbench train": ["train."],
    "actbench quantise=": ["int8 ", "none "],
    "actbench tensorboard=": ["false ", "true "],
    "actbench probe=": ["false ", "true "],
    "actbench probe_": ["probe_every="],
    "actbench scheduler=onecycle scheduler.cycle_momentum=t": ["true "],
    "actbench +": ["+search=", "+sweep="],
    "actbench +sweep=de": ["deep ", "depths "],
    "actbench -m +sweep=deep,": [],
    "actbench sweep=": [],
    "actbench experiment=mish_d": ["mish_depth "],
    "actbench --c": ["--cfg "],
    "actbench --cfg ": ["all ", "hydra ", "job "],
    "actbench -": ["--cfg ", "--detach ", "--help ", "--hydra-help ", "--multirun ", "--version ", "-m "],
    "actbench optimizer.lr=": [],
    "actbench optimizer.betas=[": [],
    "actbench nothing=": [],
    "actbench nothing.": [],
    "actbench _": [],
    "actbench activation._": [],
    "actbench activation=relu,": [f"relu,{name} " for name in ACTIVATIONS if name != "relu"],
    "actbench list activation rel": ["relu ", "relu6 "],
    "actbench list leaky": ["leaky_relu "],
    "actbench list optimi": ["optimizer ", "optimizers "],
    "actbench report ": [FOLDERS],
    "actbench report out": [FOLDERS],
    "actbench report outputs --b": ["--baseline "],
    "actbench report --baseline gel": ["gelu "],
    "actbench report --per optimizer": ["optimizer "],
    "actbench report --output ": [FOLDERS],
    "actbench report --output=x": [FOLDERS],
    "actbench output_dir=": [FOLDERS],
    "actbench kernels --device=c": ["cpu ", "cuda "],
    "actbench kernels --device c": ["cpu ", "cuda "],
    "actbench kernels --resnet 1": ["101 ", "152 ", "18 "],
    "actbench kernels relu leaky": ["leaky_relu "],
    "actbench kernels relu rel": ["relu6 "],
    "actbench completion ": ["bash ", "fish ", "zsh "],
    "actbench completion bash ": [],
    "actbench 'activation=le": ["activation=leaky_relu"],
    'actbench "activation=relu" activation=le': ["leaky_relu "],
    "actbench study=": [],
}  # fmt: skip


@pytest.mark.parametrize("line", TABLE)
def test_what_is_offered(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert offered(line) == TABLE[line]


def test_every_word_at_the_start_is_a_command_a_group_or_a_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = {word.strip() for word in offered("actbench ")}
    keys = {key for key in usual_values() if "." not in key}
    assert found == {*COMMANDS, "train.", *(f"{key}=" for key in {*GROUPS, "experiment", "probe", *keys})}


def test_what_is_behind_the_cursor_counts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert offered("actbench activation.", " activation=leaky_relu") == ["activation.negative_slope="]
    assert offered("actbench activation=le", " -m") == ["leaky_relu"]
    assert offered("actbench activation=le", "aky_relu -m") == ["leaky_relu"]


@pytest.mark.parametrize("group", [*groups()])
def test_every_choice_and_its_parameters_are_offered_and_nothing_else(group, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sign = "+" if group in ("sweep", "search") else ""
    names = [choice.name for choice in choices_of(group)]
    assert offered(f"actbench {sign}{group}=") == [f"{name} " for name in sorted(names)]
    for name in names if group in GROUPS else ():
        keys = offered(f"actbench {group}={name} {group}.")
        params = choice_of(group, name).params.keys() - {"defaults"}
        assert keys == sorted(f"{group}.{key}=" for key in params)


def test_every_word_that_is_offered_for_a_key_is_one_that_it_may_hold(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = {"null": None, "true": True, "false": False, "1": 1}
    seen = 0
    for group in GROUPS:
        for choice in choices_of(group):
            comments = {item.name: item.comment for item in parameters_of(choice)}
            for key, default in choice_of(group, choice.name).params.items():
                rule = rule_of(group, key, default, comments.get(key, ""))
                for word in offered(f"actbench {group}={choice.name} {group}.{key}="):
                    seen += 1
                    assert rule.accepts(values.get(word.strip(), word.strip())), (group, key, word)
    for key in usual_values():
        for word in offered(f"actbench {key}="):
            assert word == FOLDERS or plain_rules()[key].accepts(values.get(word.strip(), word.strip())), (key, word)
    assert seen > 30


def test_plugins_of_hydra_are_those_that_are_installed():
    from hydra.core.plugins import Plugins

    Plugins.instance()
    from hydra.core.config_store import ConfigStore

    for group in ("launcher", "sweeper"):
        installed = {name.removesuffix(".yaml") for name in ConfigStore.instance().list(f"hydra/{group}")}
        found = {word.strip() for word in offered(f"actbench -m hydra/{group}=")}
        assert found == {name for name in installed if name not in ("sampler", "pruner")} | {
            "basic",
            *(["optuna", "race"] if group == "sweeper" else []),
            *(["slurm"] if "submitit_slurm" in installed else []),
        }
    if "optuna " in offered("actbench -m hydra/sweeper="):
        assert "tpe " in offered("actbench -m hydra/sweeper=optuna hydra/sweeper/sampler=")
        assert "hydra.sweeper.n_trials=" in offered("actbench -m hydra/sweeper=optuna hydra.sweeper.")


def test_the_users_own_choices_studies_and_mistakes(tmp_path, monkeypatch, capsys):
    from actbench.command.shells import main

    monkeypatch.chdir(tmp_path)
    own = tmp_path / "conf" / "activation"
    own.mkdir(parents=True)
    (own / "bent.yaml").write_text("# mine\n_target_: mine.Bent\n_partial_: true\nscale: 1.0\nsharp: false\n")
    for folder in ("outputs/mine/run", "elsewhere/other/run", "outputs/with space/run"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "settings.yaml").touch()
    assert len(conf_folders()) == 2
    assert offered("actbench activation=be") == ["bent "]
    assert offered("actbench activation=bent activation.") == ["activation.scale=", "activation.sharp="]
    assert offered("actbench activation=bent activation.sharp=") == ["false ", "true "]
    assert offered("actbench study=") == ["mine "]
    assert offered("actbench output_dir=elsewhere study=") == ["other "]
    source = "class Net:\n    def __init__(self, width, depth=2): ...\ndef make(): ...\nclass _Hidden: ...\n"
    (tmp_path / "its_nets.py").write_text(source)
    assert offered("actbench model=its_nets:") == ["Net ", "make "]
    assert offered("actbench model=its_nets:Net model.") == ["model.depth=", "model.width="]
    (own / "broken.yaml").write_bytes(b"\xff\xfe: [")
    for line in ("actbench activation=", "actbench activation=broken activation.", "actbench list bro", "actbench "):
        main(["--answer", line, "", "=:"])
        assert capsys.readouterr().err == ""
    for odd in (
        [],
        [""],
        ["actbench '"],
        ["actbench \\"],
        ["x" * 10_000],
        ["actbench \0"],
        ["actbench = = =", "=", ""],
    ):
        main(["--answer", *odd])
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("line", "words", "current", "start"),
    [
        ("a", (), "a", 0),
        ("a b=c", ("a",), "b=c", 2),
        ("a b=c ", ("a", "b=c"), "", 0),
        ("a 'b c' \"d=", ("a", "b c"), "d=", 0),
        ("a b\\ c d:e", ("a", "b c"), "d:e", 2),
        ("a '' x", ("a", ""), "x", 0),
        ("a  b", ("a",), "b", 0),
        ('a "x\\"y', ("a",), 'x"y', 0),
    ],
)
def test_an_unfinished_line_is_split_as_bash_splits_it(line, words, current, start):
    typed = split(line, "=:")
    assert (typed.words, typed.current, typed.start) == (words, current, start)


def test_every_option_of_the_subcommands_is_offered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command, parser in (("report", arguments.report_parser()), ("kernels", arguments.kernels_parser())):
        options = {option for action in parser._actions for option in action.option_strings} - {"-h"}
        assert {word.strip() for word in offered(f"actbench {command} -")} == options
    assert {*SHELLS} == {*next(a.choices for a in arguments.completion_parser()._actions if a.dest == "shell")}
    assert candidates(["report"], "x") == FOLDERS


def test_tab_imports_nothing_that_takes_time():
    code = (
        "import sys; sys.argv = ['actbench', 'completion', '--answer', 'actbench activation=', '', '=']\n"
        "from actbench.cli import main\n"
        "try: main()\nexcept SystemExit as e: assert not e.code\n"
        "assert not {'torch', 'hydra', 'omegaconf', 'scipy', 'numpy', 'pandas', 'rich', 'yaml'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "leaky_relu \t" in done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_a_shell_is_one_that_it_can_read(actbench, shell, tmp_path):
    done = actbench("completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert "actbench completion " + shell in done.stdout  # how to install it
    if not shutil.which(shell):
        pytest.skip(f"there is no {shell} here")
    (tmp_path / "script").write_text(done.stdout)
    checked = subprocess.run([shell, "-n", str(tmp_path / "script")], capture_output=True, text=True, timeout=60)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_without_a_shell_it_says_how_to_install(actbench):
    done = actbench("completion")
    assert done.returncode == 0
    for said in (
        'eval "$(actbench completion bash)"',
        'eval "$(actbench completion zsh)"',
        "completions/actbench.fish",
    ):
        assert said in done.stdout
    assert actbench("completion", "tcsh").returncode == 2


# ---------------------------------------------------------------- a real bash


_COMMAND = """\
#!{python}
import sys
if sys.argv[1:2] == ["completion"]:
    from actbench.cli import main
    main()
print("ran:", *sys.argv[1:], sep="|", end="|\\n")
"""


class Bash:
    """An interactive bash on a terminal of its own, in which `actbench` completes, and prints what it was given."""

    def __init__(self, folder: Path, *lines: str):
        (folder / "bin").mkdir()
        script = folder / "bin" / "actbench"
        script.write_text(_COMMAND.format(python=sys.executable))
        script.chmod(0o755)
        environment = {
            **os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PS1": "> ", "TERM": "dumb",
            "PYTHONPATH": str(Path(arguments.__file__).parents[2]), "INPUTRC": "/dev/null", "HISTFILE": "/dev/null",
        }  # fmt: skip
        self._own, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 400, 0, 0))
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-i"], stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder,
            env=environment, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        for line in ("bind 'set enable-bracketed-paste off'", 'eval "$(actbench completion bash)"', *lines):
            self.until(line + "; echo re''ady\n", "ready")

    def until(self, keys: str, said: str) -> str:
        """What is on the terminal once something stands at the beginning of a line, after some keys."""
        os.write(self._own, keys.encode())
        shown, ends = "", time.monotonic() + 60
        while not re.search(rf"\n{re.escape(said)}.*\n", shown):
            assert time.monotonic() < ends, shown
            if select.select([self._own], [], [], 1)[0]:
                shown += os.read(self._own, 65536).decode().replace("\r", "")
        return shown

    def completed(self, line: str) -> list[str]:
        """The words that `actbench` is given after Tab and an X: a space before the X shows a completed word."""
        shown = self.until(f"{line}\tX\n", "ran:|")
        assert "rror" not in shown
        return re.search(r"\nran:\|(.*)\|\n", shown)[1].split("|")

    def listed(self, line: str) -> list[str]:
        """What is shown after two Tabs."""
        shown = self.until(f"{line}\t\t\n", "ran:|")
        assert "rror" not in shown
        own = [row for row in shown.split("\n") if row.strip() and not re.match(r"> |ran:|.*actbench", row)]
        return " ".join(own).split()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._own)


@pytest.fixture
def bash(tmp_path):
    if not shutil.which("bash"):
        pytest.skip("there is no bash here")
    (tmp_path / "outputs" / "mine" / "run").mkdir(parents=True)
    (tmp_path / "outputs" / "mine" / "run" / "settings.yaml").touch()
    shell = Bash(tmp_path)
    yield shell
    shell.close()


def test_a_real_bash_completes(bash):
    for line, words in {
        "actbench activation=le": ["activation=leaky_relu", "X"],
        "actbench -m activation=relu,le": ["-m", "activation=relu,leaky_reluX"],
        "actbench activation=leaky_relu activation.": ["activation=leaky_relu", "activation.negative_slope=X"],
        "actbench train.device=mp": ["train.device=mps", "X"],
        "actbench train.device=cuda:": ["train.device=cuda:X"],
        "actbench report out": ["report", "outputs/X"],
        "actbench report outputs/m": ["report", "outputs/mine/X"],
        "actbench output_dir=out": ["output_dir=outputs/X"],
        "actbench study=": ["study=mine", "X"],
        "actbench list leak": ["list", "leaky_relu", "X"],
        "actbench report --bas": ["report", "--baseline", "X"],
        "actbench +swe": ["+sweep=X"],
        "actbench -m +sweep=lea": ["-m", "+sweep=learning_rates", "X"],
        "actbench 'activation=lea": ["activation=leaky_reluX"],  # bash closes the quote
        "actbench nothing=": ["nothing=X"],
        "actbench activation._": ["activation._X"],
        "LANG=C actbench experiment=mish_d": ["experiment=mish_depth", "X"],
        "true; actbench experiment=mish_d": ["experiment=mish_depth", "X"],
    }.items():
        assert bash.completed(line) == words, line


def test_a_real_bash_lists_the_choices_alone(bash):
    assert bash.listed("actbench activation=relu") == ["relu", "relu6"]
    assert bash.listed("actbench train.device=") == ["auto", "cpu", "cuda", "mps"]
    assert bash.listed("actbench -m clip=norm,") == ["norm,none", "norm,value"]
    assert bash.listed("actbench nothing=") == []


def test_a_mistake_in_the_users_conf_does_not_end_in_the_prompt(bash, tmp_path):
    (tmp_path / "conf" / "activation").mkdir(parents=True)
    (tmp_path / "conf" / "activation" / "broken.yaml").write_bytes(b"\xff\xfe: [")
    assert bash.completed("actbench activation=relu opti")[0] == "activation=relu"
    assert bash.completed("actbench activation=")[0].startswith("activation=")
