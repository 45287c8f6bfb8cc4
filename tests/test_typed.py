"""What is typed wrongly, with the sentence that answers it: every mistake at once, exit code 2, nothing written."""

from __future__ import annotations

import shlex

import pytest
from command_lines import answer, check

from actbench import settings
from actbench.command import duplicate_runs, vocabulary
from actbench.command.suggestions import choice_meant, key_named, names_of, plain_keys
from actbench.settings import GROUPS

D = "dataset=digits"
WRONG = {
    # words that are no KEY=VALUE
    "--activation relu": ["actbench activation=relu"],
    "--activation=relu": ["actbench activation=relu"],
    "activation relu": ["actbench activation=relu"],
    "activation = relu": ["actbench activation=relu"],
    "activation= relu": ["actbench activation=relu"],
    "activation =relu": ["actbench activation=relu"],
    "relu": ["actbench activation=relu"],
    "relu,gelu": ["actbench -m activation=relu,gelu"],
    "activation=relu, gelu": ["actbench -m activation=relu,gelu"],
    "train": ["actbench trains what is typed", "    actbench\n"],
    "run activation=relu": ["run: is not needed", "actbench activation=relu"],
    "adam": ["actbench optimizer=adam"],
    "article_mlp": ["actbench experiment=article_mlp"],
    "none": ["norm=none, clip=none or augment=none"],
    "sweep activation=relu,gelu": ["actbench -m activation=relu,gelu"],
    "help": ["actbench --help"],
    "reprot outputs --table": ["reprot: is not a command", "actbench report outputs --table"],
    "activation=relu report outputs": ["comes first", "actbench report outputs"],
    "activation": ["has no value", "actbench list activation"],
    "train.epochs": ["train.epochs: has no value", "by default it is 10"],
    "foo": ["foo: is neither KEY=VALUE nor a command"],
    "''": ["is an empty word"],
    "3": ["3: is a value without its key"],
    "=relu": ["=relu: has no key"],
    # flags
    "--lr 0.1 --num-seeds=3": ["actbench optimizer.lr=0.1 num_seeds=3"],
    "--no-probe": ["actbench probe=false"],
    "--multi-run activation=relu,gelu": ["did you mean --multirun?", "actbench -m activation=relu,gelu"],
    "--dry-run": ["actbench --cfg job"],
    "--resume": ["the same command with the same study=NAME goes on"],
    "-x": ["-x: there is no such flag"],
    "--cfg": ["--cfg: shows job, hydra or all"],
    "--cfg job activaton=relu": ["actbench --cfg job activation=relu"],
    "--cfg job --package nonsense": ["--package nonsense: there is no such key"],
    "--resolve": ["actbench --cfg job --resolve"],
    "--config-dir /tmp": ["--config-dir: is not supported", "`conf` folder"],
    # what the field calls things
    "activation=lrelu": ["actbench activation=leaky_relu"],
    "activation=leakyrelu": ["actbench activation=leaky_relu"],
    "activation=swich": ["actbench activation=swish"],
    "activation=SiLU": ["actbench activation=silu"],
    "activation=hard_swish": ["actbench activation=hardswish"],
    "activation=siren": ["no periodic one is here"],
    "activation=SwiGLU": ["model.gated=true"],
    "activation=adam": ["did you mean optimizer=adam?"],
    "optimizer=adam_w": ["actbench optimizer=adamw"],
    "optimizer=AdamW": ["actbench optimizer=adamw"],
    "init=kaiming_normal": ["actbench init=he_normal"],
    "init=glorot_uniform": ["actbench init=xavier_uniform"],
    "norm=batchnorm": ["actbench norm=batch"],
    "norm=bn": ["actbench norm=batch"],
    "model=LeNet": ["actbench model=cnn"],
    "dataset=fashion": ["actbench dataset=fashion_mnist"],
    "dataset=cifar10": ["dataset=torchvision dataset.name=CIFAR10", "dataset=images"],
    "scheduler=CosineAnnealingLR": ["actbench scheduler=cosine"],
    # keys without their group, or by another name
    "lr=0.1": ["actbench optimizer.lr=0.1"],
    "epochs=3": ["actbench train.epochs=3"],
    "batch_size=64": ["actbench train.batch_size=64"],
    "width=32": ["actbench model.width=32"],
    "negative_slope=0.1": ["actbench activation=leaky_relu activation.negative_slope=0.1"],
    "activation.slope=0.1": ["actbench activation=leaky_relu activation.negative_slope=0.1"],
    "momentum=0.9": ["norm.momentum=0.9 (norm=batch)", "optimizer.momentum=0.9 (optimizer=momentum|nesterov|rmsprop)"],
    "model.layers=3": ["actbench model.depth=3"],
    "optimizer.learning_rate=0.1": ["actbench optimizer.lr=0.1"],
    "hidden_size=8 layers=2 wd=0.1": ["actbench model.width=8 model.depth=2 optimizer.weight_decay=0.1"],
    "device=CPU": ["actbench train.device=cpu"],
    "größe=3": ["größe=3: no such key"],
    # values
    "model.width=[256,0]": ["model.width=[256,128]"],
    "train.epochs=1e1": ["actbench train.epochs=10"],
    "train.precision=bfloat16": ["actbench train.precision=bf16"],
    "probe=yes": ["actbench probe=true"],
    "seed=[0,1,2]": ["num_seeds=3 trains three"],
    "seeds=0,1,2": ["seeds=0,1,2: is written as the first seed and their number", "actbench seed=0 num_seeds=3"],
    "-m seeds=2,7": ["actbench -m seed=2,7 num_seeds=1"],
    "activation=relu activation=gelu": ["activation: is typed twice: activation=relu and activation=gelu", "actbench activation=gelu"],
    "lr=0.1 optimizer.lr=0.2": ["optimizer.lr: is typed twice", "actbench optimizer.lr=0.2"],
    "study=a/b": ["output_dir=a/b study=c is a/b/c"],
    "optimizer.lr=nofunc(3)": ["there is no function nofunc"],
    "-m optimizer.lr=range(a)": ["range(1,5) is 1,2,3,4"],
    "-m optimizer.lr=interval(0.1,1)": ["needs a search"],
    "model.channels=[16,32 model=cnn": ["model.channels=[16,32: must be a list, [A,B,...], of whole numbers of 1 or more"],
    "study='a${b'": ["cannot be read"],
    "study='${nothing}'": ["study=${nothing}: Interpolation key 'nothing' not found"],
    "+optimizer.lr=0.1": ["actbench optimizer.lr=0.1"],
    "~dropout": ["a key cannot be removed"],
    "activation@foo=relu": ["activation=relu"],
    "optimizer={lr:x}": ["optimizer.lr=x: must be a number above 0"],
    # several at once
    "-m activation=relu,gleu optimzer.lr=0.1": [
        "activation=gleu: there is no activation called gleu", "optimzer.lr=0.1: no such key",
        "actbench -m activation=relu,gelu optimizer.lr=0.1",
    ],
    "activation=relu,gleu optimzer.lr=0.1 train.epochs=0": [
        "several values need a sweep", "called gleu", "did you mean optimizer.lr=0.1?", "train.epochs=0: must be",
    ],
    "-m activation=reluu,gleu dropout=2,3 seed=-1": [
        "did you mean relu?", "did you mean gelu?", "dropout=2: must be", "dropout=3: must be", "seed=-1: must be",
    ],
    "activation=prelluu activation.num_parameters=7": ["did you mean prelu?", "activation.num_parameters=7: must be 1 or"],
    "frobnicate relu --lr 3 train.epochs=0": ["frobnicate:", "activation=relu", "optimizer.lr=3", "train.epochs=0: must"],
    # parameters of none of the choices
    "-m activation=relu,gelu activation.num_parameters=units": ["is a key of acon, pact, prelu and swish"],
    "activation.num_parameters=1": ["is a key of acon, pact, prelu and swish"],
    # sweeps of nothing, or of one run
    "-m activation.negative_slope=glob(*)": ["has no values", "activation.negative_slope=a,b"],
    "-m activation=glob(*zz)": ["has no values", "actbench list activation"],
    "-m seed=range(0)": ["has no values", "range(1,5) is 1,2,3,4"],
    "-m activation=choice()": ["choice(a,b)"],
    "-m optimizer.lr=0.1,1e-1": ["has 0.1 more than once", "actbench -m optimizer.lr=0.1"],
    "-m activation=relu,relu,gelu": ["has relu more than once", "actbench -m activation=relu,gelu"],
    "-m dropout=0,0.0": ["are one run"],
    "-m dataset=auto,mnist": ["auto and mnist are one run"],
    "-m activation=relu,gelu split=0.3,0.5": ["has no effect without upper_activation"],
    "-m probe_every=null,10": ["cannot be swept", "actbench probe_every=10 study=probe_every_10"],
    "-m train.threads=1,2 activation=relu,gelu": ["actbench -m activation=relu,gelu train.threads=2 study=threads_2"],
    "-m quantise=none,int8": ["quantise=int8 has both"],
    "-m trust=a,b": ["trust=[a,b]"],
    "-m study=a,b": ["is the folder of a whole sweep"],
}  # fmt: skip


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_line_is_answered(line, tmp_path, monkeypatch):
    given = answer(shlex.split(line), tmp_path, monkeypatch)
    assert given.code == 2, given.text
    check(given, tmp_path)
    for part in WRONG[line]:
        assert part in given.text, given.text


REMEDIES = [
    "seeds=0,1,2", "activation=topk activation.k=3 activation=gelu", "relu,gelu", "activation=relu, gelu", "lr=0.1", "negative_slope=0.1", "activation=lrelu", "train.epochs=1e1",
    "-m activation=relu,gleu optimzer.lr=0.1",
    "-m train.threads=1,2 activation=relu,gelu", "-m study=a,b", "-m activation=relu,relu,gelu", "--cfg",
]  # fmt: skip


@pytest.mark.parametrize("line", REMEDIES)
def test_the_whole_command_that_is_told_is_accepted(line, tmp_path, monkeypatch):
    given = answer(shlex.split(line), tmp_path, monkeypatch)
    told = [text.strip() for text in given.text.splitlines() if text.strip().startswith("actbench ")]
    assert told, given.text
    for command in told:
        again = answer([*shlex.split(command)[1:], *([] if "dataset=" in command else [D])], tmp_path, monkeypatch)
        if "--cfg" not in command and "report" not in command:
            assert "starts:" in again.text, (command, again.text)
        check(again, tmp_path)


@pytest.mark.parametrize(
    "line", ["activation=relu,gelu -m", "activation=relu,gelu -m optimizer.lr=0.1,0.2", "-m activation=glob(*elu)"]
)
def test_a_flag_may_stand_anywhere(line, tmp_path, monkeypatch):
    given = answer([*shlex.split(line), D], tmp_path, monkeypatch)
    assert "starts: --multirun" in given.text
    check(given, tmp_path)


def test_every_key_without_identity_is_refused_in_a_sweep_or_stands_in_the_folders_name():
    without = {*settings._NOT_IDENTITY, *(f"train.{key}" for key in settings._NOT_IDENTITY_TRAIN)}
    told = {*duplicate_runs.NOT_COMPARED}
    of_races = {key for key in told if key.startswith("decide.")}  # which are no part of a run's settings at all
    assert without - {"dataset_note", "measures", "weights"} == (told - {"output_dir", "workers"} - of_races) | {
        "seed",
        "num_seeds",
    }  # these two are no keys, workers is one of the whole command; of weights the content counts, not the file


@pytest.mark.parametrize("key", duplicate_runs.NOT_COMPARED)
def test_a_sweep_over_such_a_key_is_told_beforehand(key, tmp_path, monkeypatch):
    given = answer(["-m", f"{key}=a,b", D], tmp_path, monkeypatch)
    assert f"{key}=a,b: cannot be swept: it " in given.text
    check(given, tmp_path)


def test_seeds_can_be_swept(tmp_path, monkeypatch):
    assert "starts:" in answer(["-m", "seed=0,5", "num_seeds=2,3", D], tmp_path, monkeypatch).text


def test_the_tables_of_words_name_what_there_is():
    for group, table in vocabulary.CHOICES.items():
        assert {*table} <= {*names_of(group)}, group
        for name, others in table.items():
            for word in others.split():
                meant = choice_meant(group, word, alike=False)
                assert meant == (word if word in names_of(group) else name), (group, word, meant)
    keys = {*GROUPS, "experiment", *plain_keys()}
    for key, others in vocabulary.KEYS.items():
        assert key in keys or "." in key, key
        for word in others.split():
            assert key_named(word) in (key, word), (word, key_named(word))


@pytest.mark.parametrize(
    "word", ["optimizer.lr=[/]", "optimizer.betas=[a,b]", "optimizer.betas=[[1],0]", "init.gain=[auto]"]
)
def test_a_list_of_words_where_numbers_belong_is_told(actbench, word):
    done = actbench(word)
    assert done.returncode == 2
    assert f"{word}: must be " in done.stderr
    assert "Traceback" not in done.stderr


def test_what_nobody_foresaw_is_one_sentence_and_a_way_to_see_more(monkeypatch, capsys):
    from actbench import cli

    def fail(_argv):
        raise KeyError("lost")

    monkeypatch.setattr(cli, "_main", fail)
    monkeypatch.delenv("ACTBENCH_TRACEBACK", raising=False)
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 1
    told = capsys.readouterr().err
    assert "failed unexpectedly: KeyError: 'lost'" in told
    assert "ACTBENCH_TRACEBACK=1" in told
    monkeypatch.setenv("ACTBENCH_TRACEBACK", "1")
    with pytest.raises(KeyError):
        cli.main()


@pytest.mark.parametrize(
    ("words", "whole"),
    [
        (["relu", "gelu"], "actbench -m activation=relu,gelu"),
        (["-m", "relu", "gelu", "elu"], "actbench -m activation=relu,gelu,elu"),
        (["activation=relu+gelu"], "actbench -m activation=relu,gelu"),
        (["-m", "activation=relu|gelu"], "actbench -m activation=relu,gelu"),
        (["hydra/launcher=joblib", "activation=relu"], "actbench -m hydra/launcher=joblib activation=relu"),
        (["workers=2", "activation=relu"], "actbench -m workers=2 activation=relu"),
        (["+search=tpe", "dropout=interval(0,1)"], "actbench -m +search=tpe 'dropout=interval(0,1)'"),
    ],
)
def test_several_choices_without_commas_are_all_meant(actbench, words, whole):
    done = actbench(*words)
    assert done.returncode == 2
    assert done.stderr.rstrip().endswith(whole)
    assert "replaced by" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["num_seeds=1000000", "dataset=digits"], "this machine has"),
        (["model.width=1000000000", "dataset=digits"], "not enough memory"),
        (["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=0", "activation=relu,gelu"], "other than 0"),
        (["-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trails=3", "activation=relu,gelu"], "hydra.sweeper.n_trials?"),
        (["-m", "+search=tpe", "hydra/sweeper/pruner=wilcox", "activation=relu,gelu"], "did you mean wilcoxon?"),
        (["-m", "+search=tpe", "hydra/sweeper/sampler=foo", "activation=relu,gelu"], "there are cmaes, grid"),
        (
            ["-m", "+search=tpe", "hydra.sweeper.storage=${oc.env:ABSENT}", "activation=relu,gelu"],
            "error: hydra.sweeper.storage=${oc.env:ABSENT}: there is no environment variable ABSENT\n",
        ),
        (["output_dir=${oc.env:ABSENT}/x"], "output_dir=${oc.env:ABSENT}/x: there is no environment variable ABSENT"),
        (["--shell-completion"], "actbench completion bash"),
        (["model=cnn", "model.width=3"], "choose one that has it: model="),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_done(actbench, words, said):
    done = actbench(*words)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_search_tells_all_mistakes_at_once(actbench):
    done = actbench(
        "-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=0", "activation=gleu", "model.width=interval(4,64)"
    )
    assert done.returncode == 2
    for said in ("did you mean gelu?", "n_trials=0", "model.width=interval(4,64): draws fractions"):
        assert said in done.stderr
    assert "model.width=int(interval(4,64))" in done.stderr
