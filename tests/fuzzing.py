"""Random command lines, and a process that runs each of them in a fork of itself and looks at what it left."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import resource
import shlex
import signal
import sys
import time
from pathlib import Path

from hydra import compose, initialize_config_dir

from actbench.choices import choices_of, groups, packaged_conf
from actbench.command import composing

PATIENCE = 60  # seconds for a line; it decides about those alone that never end
ROOM = 4 << 30  # bytes of memory that a line may take beyond what the imports have

_KEYS = {  # key -> right values
    "split": ("0.5", "0", "1"), "dropout": ("0.1", "0"), "seed": ("0", "3"), "num_seeds": ("1", "2"),
    "probe": ("false", "true"), "probe_every": ("null", "5"), "quantise": ("none", "int8"), "tensorboard": ("false",),
    "study": ("s", "q,w=1", "2024"), "output_dir": ("out", "deep/er"), "trust": ("null", "mine", "[a,b]"),
    "train.epochs": ("1", "2"), "train.batch_size": ("32", "64"), "train.eval_batch_size": ("250",),
    "train.threads": ("1", "null"), "train.device": ("cpu", "auto"), "train.precision": ("fp32", "bf16", "tf32"),
    "train.execution": ("auto", "stacked", "seed_by_seed"), "train.memory_format": ("auto", "channels_last"),
    "train.engine": ("auto", "eager", "graph"), "model.width": ("8", "16"), "model.depth": ("1", "2"),
    "model.channels": ("[2,2]", "[4]"), "model.kernel_size": ("3",), "optimizer.lr": ("1e-3", "0.1"),
    "optimizer.weight_decay": ("0", "0.01"), "optimizer.betas": ("[0.9,0.99]",), "clip.max_norm": ("1",),
    "scheduler.gamma": ("0.5",), "activation.negative_slope": ("0.1",), "activation.alpha": ("0.5",),
    "activation.num_parameters": ("1", "units"), "dataset.train_size": ("200", "null"), "init.gain": ("auto", "1.5"),
}  # fmt: skip
_HYDRAS = (
    "hydra.run.dir=here", "hydra.sweep.dir=here", "hydra.sweep.subdir=x", "hydra.sweep.subdir=1,2", "hydra.verbose=true",
    "hydra.sweep.subdir=${hydra.job.num}", "hydra.output_subdir=null", "hydra.mode=MULTIRUN", "hydra.mode=RUN",
    "hydra.mode=nope", "hydra/launcher=nope", "hydra/sweeper=nope", "hydra.launcher._target_=os.getcwd",
    "hydra.sweeper.max_batch_size=1", "hydra.sweeper.max_batch_size=0", "hydra.sweeper.params={seed:'1,2'}",
    "+hydra.sweeper.params.seed=1,2", "hydra.searchpath=[file:///nowhere]", "hydra.searchpath=7", "hydra.job.name=x",
    "hydra.job.env_set={ACTBENCH_X:1}", "hydra.job.env_set=3", "+hydra.callbacks.x._target_=os.getcwd",
    "hydra.job.chdir=true", "hydra.runtime.cwd=/nowhere", "hydra.runtime.output_dir=here", "hydra.job.num=x",
    "hydra.overrides.task=[a=1]", "hydra/job_logging=default", "hydra/hydra_logging=none", "hydra/job_logging=nope",
    "hydra.help.template=x", "hydra.nope=1", "~hydra.run", "~hydra", "hydra=null", "hydra.run.dir=null", "hydra.run.dir=",
    "hydra.job.config.override_dirname.kv_sep=/", "hydra.run.dir=${nope}", "hydra.sweep.dir=${nope:1}", "hydra.job.id=3",
)  # fmt: skip
_FLAGS = (
    "-m", "--multirun", "-m", "-m", "--cfg", "--cfg=job", "-c", "job", "all", "hydra", "--info", "--info=all", "--info=plugins", "-i",
    "--resolve", "-p", "--package=train", "--run", "-r", "--help", "-h", "--hydra-help", "--version", "-cn", "x", "--config-dir=y",
    "--config-name=z", "-cp", "--shell-completion", "-sc", "install=bash", "query=bash", "uninstall=zsh", "--experimental-rerun=x",
    "--", "-", "--activation", "--nope", "-x", "-mm", "--multi", "--table", "-m=1", "--cfg=nope",
)  # fmt: skip
_ODD = (
    "", " ", "nan", "inf", "-inf", "-1", "0", "1e309", "1e-320", "9" * 400, "-9223372036854775809", "0x10", "1_000", "1e3", "٣",
    "true", "null", "None", "~", "'", '"', "''", "'a", '"b', "a'b", "$HOME", "$(ls)", "${nope}", "${oc.env:HOME}", "${now:%Y}",
    "${actbench.stamp:}", "${", "}", "{", "{}", "[]", "[", "]", "{a:1}", "[1,2", "[[1],[2]]", "{a:{b:[1,{c:2}]}}", "a,b", "1,2,3", ",",
    ",,", "a,", ";", "a;b", "|", "&&", "\\", "\\\\", "/", "../x", "..", ".", "%", "%s", "{0}", "#", "a#b", "=", "==", "a=b", ":", "::",
    "@", "a@b", "!", "*", "?", "glob(*)", "glob(*,exclude=relu)", "choice(1,2)", "range(3)", "range(0,1,0)", "interval(0,1)", "range(5,1)",
    "sort(3,1)", "shuffle(1,2)", "tag(a,1)", "int(x)", "float(1)", "str(1)", "bool(2)", "json_str(1)", "extend_list(1)", "f(", "nope(1)",
    "jürgen", "日本", "😀", "a\nb", "\n", "\t", "a\tb", "\r", "\x1b[31m", "\x07", "\udcff", "a\udc80b", "\u202e", "\ufeff", "x" * 300, "x" * 5000,
    "<b>", "&amp;", "[bold]x[/bold]", "[/]", "[red", "_target_", "{_target_:os.getcwd}", "torch.nn.GELU", "relu", "reluu", "1", "0.5",
    "!!python/object/apply:os.getcwd []", "&a [*a]", "? a", "---", "-m", "--help",
)  # fmt: skip
_WORDS = (
    "relu", "train", "run", "help", "lits", "reports", "kernel", "activation", "activation relu", "completion", "try", "more", "", " ",
    "=", "==", "=1", "+", "~", "++", "+=", "~=", "a", "a=", "+a=1", "++a=1", "~a", "a.b.c=1", ".=1", "a.=1", ".a=1", "a..b=1", "+a@b=c",
    "activation@x=relu", "upper_activation=gelu", "experiment=article_mlp", "+experiment=article_mlp", "experiment=nope", "+sweep=nope",
    "+sweep=deep", "~activation", "~train", "~train.epochs", "train=1", "train=null", "train={}", "activation={}", "activation=[relu]",
    "model=null", "+activation=gelu", "++activation=gelu", "activation/x=relu", "activation.nope.x=1", "defaults=[]", "_self_=1",
    "activation._target_=os.getcwd", "+activation._args_=[1]", "activation._partial_=false", "+activation._convert_=all", "+_target_=x",
)  # fmt: skip


def lines(number: int, draw: int) -> list[tuple[str, list[str], bool]]:
    """Name, arguments and whether it may train, of so many command lines."""
    rng = random.Random(f"lines {draw}")
    made = []
    for k in range(number):
        kind = rng.random()
        trains = kind < 0.06
        made.append(
            (f"{draw}/{k}", _trained(rng) if trains else _subcommand(rng) if kind < 0.28 else _line(rng), trains)
        )
    return made


def _line(rng: random.Random) -> list[str]:
    words = [_override(rng) for _ in range(rng.choice((1, 1, 2, 2, 3, 4, 6)))]
    if rng.random() < 0.35:
        words += rng.sample(_FLAGS, rng.choice((1, 1, 2)))
    if rng.random() < 0.15:
        words.append(rng.choice(_WORDS))
    if rng.random() < 0.12:
        words.append(rng.choice(_HYDRAS))
    if rng.random() < 0.7:
        words.append("dataset=digits")
    if rng.random() < 0.3:
        rng.shuffle(words)
    return words


def _override(rng: random.Random) -> str:
    if rng.random() < 0.35:
        group = rng.choice(groups())
        names = [choice.name for choice in choices_of(group)]
        chosen = [rng.choice(names) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
        key, value = group, ",".join(chosen)
    else:
        key = rng.choice(list(_KEYS))
        value = rng.choice(_KEYS[key])
    luck = rng.random()
    if luck < 0.3:
        value = rng.choice(_ODD)
    elif luck < 0.4:
        value = rng.choice(
            (
                f"'{value}'",
                f'"{value}"',
                f"{value},{value}",
                f"[{value}]",
                f" {value}",
                f"{value} ",
                value + rng.choice(_ODD),
            )
        )
    elif luck < 0.5:
        key = _typo(rng, key)
    elif luck < 0.58:
        value = _typo(rng, value)
    elif luck < 0.64:
        key = rng.choice(("+", "++", "~", "+~", " ", "-", "--", ".")) + key
    elif luck < 0.66:
        return key
    elif luck < 0.67:
        return f"{key}={value}={value}"
    return f"{key}={value}"


def _typo(rng: random.Random, word: str) -> str:
    at = rng.randrange(len(word) + 1)
    luck = rng.random()
    if luck < 0.4:
        return word[:at] + word[at + 1 :]
    if luck < 0.7:
        return word[:at] + rng.choice("abcxyz._-=,é' ") + word[at:]
    return word[:at] + word[at + 1 : at + 2] + word[at : at + 1] + word[at + 2 :] if luck < 0.9 else word.upper()


def _subcommand(rng: random.Random) -> list[str]:
    name = rng.choice(("list", "report", "report", "kernels"))
    known = {
        "list": [*groups(), "relu", "measures", "findings", "--help", "all", "activation=relu"],
        "report": ["outputs", ".", "..", "nowhere", "/dev/null", "--baseline", "relu", "--per", "optimizer.lr", "--table",
                   "--output", "rep", "--published", "--help", "outputs/*", "--margin", "0.5", "0", "--test-set", "fixed",
                   "--fail-if", "undecided", "relu not best"],
        "kernels": ["relu", "gelu", "nope", "--sizes", "2x2", "0x0", "--rounds", "1", "0", "-1", "--device", "cpu", "--threads",
                    "--resnet", "18", "--batch", "2", "--output", "rep", "--compiled", "--help"],
    }[name]  # fmt: skip
    words = [
        rng.choice(known) if rng.random() < 0.75 else rng.choice((*_ODD, *_FLAGS)) for _ in range(rng.randint(0, 4))
    ]
    return [name, *(word for word in words if word not in ("/", "..", "../x"))]


def _trained(rng: random.Random) -> list[str]:
    """One that is right, and small."""
    names = [choice.name for choice in choices_of("activation") if choice.name != "identity"]
    words = [f"activation={rng.choice(names)}", "dataset=digits", "dataset.train_size=100", "train.epochs=1", "num_seeds=1",
             "model.width=4", "train.threads=1", f"seed={rng.randint(0, 2**31 - 2)}", f"dropout={rng.choice(('0', '0.5'))}",
             f"optimizer.lr={rng.choice(('1e-3', '1e-30', '1e30'))}", f"tensorboard={rng.choice(('true', 'false'))}",
             f"study={rng.choice(('s', 'jürgen', 'q=1', 'a.b', '-'))}", f"train.precision={rng.choice(('fp32', 'bf16'))}"]  # fmt: skip
    rng.shuffle(words)
    return words


# ---------------------------------------------------------------- running them


def run_all(cases, home: Path, results) -> None:
    """Runs each in a fork of this process; puts the complaints about each line that breaks the law into `results`."""
    composing.register()
    remembered = _composed_once()
    with initialize_config_dir(str(packaged_conf()), version_base="1.3", job_name="actbench"):
        for overrides in ([], ["dataset=digits"]):  # what most lines have compared with what they say
            remembered("config", overrides, return_hydra_config=True)
    gc.collect()
    gc.freeze()
    complaints = []
    try:
        for name, arguments, trains in cases:
            wrong = _one(home / name.replace("/", "-"), arguments, trains)
            if wrong:
                complaints.append(f"{name}: actbench {ascii(shlex.join(arguments))[1:-1]}\n    {wrong}")
    except BaseException as error:
        complaints.append(f"the fuzzing itself failed: {error!r}")
    results.send(complaints)


def _composed_once():
    """A line takes a dozen compositions, of which a third are the same: those are made once. Nobody changes them."""
    known = {}

    def remembered(name, overrides=(), return_hydra_config=False):
        asked = (name, tuple(overrides), return_hydra_config)
        if asked not in known:
            known[asked] = compose(name, list(overrides), return_hydra_config)
        return known[asked]

    for name, module in list(sys.modules.items()):
        if name.startswith("actbench.") and vars(module).get("compose") is compose:
            module.compose = remembered
    return remembered


def _one(home: Path, arguments, trains) -> str:
    """What is wrong with how a line ends; nothing where nothing is."""
    folders = {name: home / name for name in ("cwd", "home", "tmp", "data")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    out, err = home / "out", home / "err"
    child = os.fork()
    if child == 0:
        _child(folders, out, err, arguments, trains)
    ends = time.monotonic() + PATIENCE
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() > ends:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return f"has not ended after {PATIENCE} s"
        time.sleep(0.002)
    code = os.waitstatus_to_exitcode(status)
    return _judged(code, out.read_text(errors="replace"), err.read_text(errors="replace"), folders, arguments)


def _child(folders, out, err, arguments, trains) -> None:
    code = 70
    try:
        gc.disable()
        files = [
            os.open(os.devnull, os.O_RDONLY),
            *(os.open(p, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for p in (out, err)),
        ]
        for number, file in enumerate(files):
            os.dup2(file, number)
        sys.stdin = os.fdopen(0, encoding="utf-8")
        sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8")
        sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace")
        os.chdir(folders["cwd"])
        os.environ |= {"HOME": str(folders["home"]), "TMPDIR": str(folders["tmp"]), "ACTBENCH_DATA": str(folders["data"]),
                       "XDG_CACHE_HOME": str(folders["home"] / "cache"), "ACTBENCH_MIRROR": "http://127.0.0.1:9", "COLUMNS": "120"}  # fmt: skip
        import tempfile

        tempfile.tempdir = None
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _stop_where_it_would_take_long(trains)
        sys.argv = ["actbench", *arguments]
        from actbench.cli import main

        try:
            main()
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _stop_where_it_would_take_long(trains) -> None:
    """A line that is right after all ends where it would begin to train or to measure."""
    import actbench.job
    import actbench.kernels.command
    from actbench.errors import UserError

    def stop(*_arguments, **_options):
        raise UserError("is where this test stops", where="training")

    actbench.kernels.command.measure = actbench.kernels.command._resnet = stop
    if not trains:
        actbench.job.run = stop


_OURS = {"outputs", "out", "deep", "here", "rep"}  # what a line may name as its folder


def _judged(code, out, err, folders, arguments=()) -> str:
    wrong = []
    named = {word.partition("=")[2].split("/")[0] for word in arguments}  # `output_dir=ot`, a misspelt folder
    if code not in (0, 1, 2, 130):
        wrong.append(f"exit code {code}")
    if "Traceback (most recent call last)" in out + err:
        wrong.append("a traceback")
    if "failed unexpectedly" in err:  # `cli.UNEXPECTED`: the sentence in the place of a traceback
        wrong.append("a fault")
    if "HYDRA_FULL_ERROR" in out + err:
        wrong.append("HYDRA_FULL_ERROR")
    if code != 0 and not err.strip():
        wrong.append("no message")
    strays = [str(path) for name in ("home", "tmp") for path in folders[name].rglob("*") if not _is_torchs(path)]
    strays += [str(path) for path in folders["cwd"].iterdir() if path.name not in _OURS | named]
    if strays:
        wrong.append(f"wrote {strays[:3]}")
    return f"{'; '.join(wrong)}: {err.strip()[-700:]}" if wrong else ""


def _is_torchs(path: Path) -> bool:
    """The folder of its compiler's cache, which torch makes, and leaves empty, when torchvision is imported."""
    return path.name.startswith("torchinductor_") and path.is_dir() and not any(path.iterdir())
