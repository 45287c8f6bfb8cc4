"""What a `_target_` may be: a stranger's YAML harms nobody, and what a user may need works."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from actbench.custom.targets import KINDS, resolve
from actbench.errors import UserError
from actbench.settings import Choice


def refused(group, target, trust=(), **params):
    with pytest.raises(UserError) as caught:
        resolve(group, Choice("evil", target, params), trust)
    return str(caught.value)


# ---------------------------------------------------------------- what may be named


@pytest.mark.parametrize(
    ("group", "target"),
    [
        ("activation", "torch.nn.ReLU"),
        ("activation", "torch.nn.modules.activation.GELU"),
        ("activation", "torch.nn.Identity"),
        ("activation", "torch.nn.Softmax"),
        ("activation", "torch.nn.Dropout"),
        ("activation", "torch.nn.LayerNorm"),
        ("activation", "torchvision.ops.FrozenBatchNorm2d"),
        ("activation", "torchvision.ops.misc.Permute"),
        ("upper_activation", "actbench.activations.Swish"),
        ("optimizer", "torch.optim.Adamax"),
        ("optimizer", "torch.optim.adam.Adam"),
        ("scheduler", "torch.optim.lr_scheduler.CyclicLR"),
        ("scheduler", "torch.optim.swa_utils.SWALR"),
        ("scheduler", "actbench.schedules.warmup_cosine"),
        ("model", "actbench.models.mlp"),
        ("norm", "actbench.models.batch_norm"),
        ("init", "actbench.inits.orthogonal"),
        ("clip", "actbench.clipping.clip_norm"),
        ("augment", "actbench.augment.shift_rotate"),
        ("dataset", "actbench.datasets.digits"),
    ],
)
def test_what_a_group_is_for_may_be_named(group, target):
    found = resolve(group, Choice("x", target), ())
    assert found.__name__ == target.rpartition(".")[2]


@pytest.mark.parametrize("group", KINDS)
@pytest.mark.parametrize(
    "target",
    [
        "torch.save", "torch.load", "torch.hub.load", "torch.jit.load", "torch.utils.cpp_extension.load",
        "torch.os.system", "torch.os.remove", "torch.nn.modules.module.warnings.warn", "torch.serialization.os.remove",
        "torch.distributed.launch.main", "torch.compile", "torch.nn.Module", "torch.nn.Linear", "torch.nn.DataParallel",
        "torch.nn.parallel.DistributedDataParallel", "torch.nn.functional.relu", "torch.optim.Optimizer",
        "torch.optim.lr_scheduler.LRScheduler", "torch.optim.lr_scheduler._LRScheduler", "torch.fx.GraphModule",
        "torch.jit.ScriptModule", "torch._dynamo.OptimizedModule", "torch.nn.init.normal_", "torch.nn", "torch",
        "torchvision.datasets.utils.download_url", "torchvision.datasets.MNIST", "torchvision.models.resnet18",
        "torchvision.io.write_file", "actbench.files.atomic.write_text", "actbench.store.folder.RunFolder",
        "actbench.cli.main", "actbench.train.build.build", "actbench.datasets.idx.load", "actbench.inits.fans",
        "os.system", "subprocess.run", "builtins.eval", "builtins.exec", "pathlib.Path.write_text", "shutil.rmtree",
        "torch..save", ".torch.save", "torch.nn.ReLU.__init__", "torch.nn.__builtins__.exec", "__main__.x", "hydra.main",
        "torch.nn.ReLU; import os", "${oc.env:HOME}", "", 7, ["torch.nn.ReLU"],
    ],
)  # fmt: skip
def test_nothing_else_may_whatever_the_group(group, target):
    text = refused(group, target)
    assert text.startswith(f"{group}=evil: `_target_: ")
    assert "\n    " in text or "dotted name" in text


def test_every_other_object_of_torch_is_refused_as_an_activation():
    """The law: what is not refused is a module that torch calls an activation, dropout or normalisation."""
    allowed = ("activation", "dropout", "normalization")
    for place in ("torch", "torch.nn", "torch.optim", "torch.utils", "torch.jit", "torch.nn.utils"):
        for name in dir(sys.modules[place]):
            target = f"{place}.{name}"
            try:
                found = resolve("activation", Choice("x", target), ())
            except UserError:
                continue
            assert issubclass(found, torch.nn.Module) and place == "torch.nn", target
            home = found.__module__.rpartition(".")[2]
            assert home in allowed or found is torch.nn.Identity, target


def test_the_refusal_says_how_to_do_it_right():
    text = refused("activation", "torch.save")
    assert "is not an activation, a class of torch.nn.Module" in text
    assert "torch.nn.NAME" in text and "trust=my_module" in text
    assert "actbench.clipping.clip_norm" in refused("clip", "actbench.inits.he_normal")
    assert "trust=os" in refused("model", "os.system") and "nothing of it was imported" in refused("model", "os.system")


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"_args_": [1]}, "Hydra would obey"),
        ({"_convert_": "all"}, "Hydra would obey"),
        ({"_recursive_": False}, "Hydra would obey"),
        ({"_partial_": False}, "Hydra would obey"),
        ({"_target_": "os.system"}, "Hydra would obey"),
        ({"_anything_": 1}, "Hydra would obey"),
        ({"slope": {"_target_": "os.system", "command": "id"}}, "has a `_target_` in it"),
        ({"slope": [1, [{"_target_": "os.system"}]]}, "has a `_target_` in it"),
        ({"slope": "${oc.env:HOME}"}, "is an interpolation"),
        ({"slope": object()}, "is an object"),
        ({"slope": b"abc"}, "is a bytes"),
        ({"slope": [[[[[[[[[[1]]]]]]]]]]}, "nested too deeply"),
    ],
)
def test_parameters_are_plain_values(params, said):
    with pytest.raises(UserError) as caught:
        resolve("activation", Choice("evil", "torch.nn.ELU", params), ())
    assert said in str(caught.value) and "a parameter is a plain value" in str(caught.value)


# ---------------------------------------------------------------- the user's own


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with a module of the user's; what is imported from it is forgotten afterwards."""
    before, path = {*sys.modules}, [*sys.path]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "targets_mine.py").write_text(
        "import os, sys, torch\nfrom torch import save\nimport targets_helper\n"
        "from targets_helper import Helper\n"
        "class Bent(torch.nn.Module):\n    def forward(self, z):\n        return z\n"
        "class Sub(torch.optim.SGD):\n    pass\n"
        "def make():\n    return Bent()\n"
        "class Outer:\n    class Inner(torch.nn.Module):\n        pass\n"
        "    @staticmethod\n    def made():\n        return Bent()\n"
        "thing = [1]\n"
    )
    (tmp_path / "targets_helper.py").write_text("class Helper:\n    pass\n")
    yield tmp_path
    sys.path[:] = path
    for name in {*sys.modules} - before:
        if name.startswith("targets_"):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("group", "name"),
    [("activation", "Bent"), ("activation", "make"), ("activation", "Outer.Inner"), ("activation", "Outer.made"),
     ("optimizer", "Sub"), ("scheduler", "make"), ("model", "make"), ("dataset", "make"), ("augment", "Bent")],
)  # fmt: skip
@pytest.mark.usefixtures("here")
def test_functions_and_classes_of_a_trusted_module(group, name):
    found = resolve(group, Choice("x", f"targets_mine.{name}"), ("targets_mine",))
    assert found.__qualname__ == name


@pytest.mark.parametrize(
    ("group", "name", "said"),
    [
        ("model", "os.system", "`os` is a module, not a class or function"),
        ("model", "save", "is defined in `torch.serialization`, which is not trusted"),
        ("model", "Helper", "trust=[targets_mine,targets_helper]"),
        ("model", "thing", "`thing` is of type list, not a class or function"),
        ("model", "nothing", "there is no `nothing` in targets_mine"),
        ("model", "Bent.load_state_dict", "is defined in `torch.nn.modules.module`"),
        ("model", "sys.exit", "`sys` is a module"),
        ("activation", "Sub", "is not an activation, a class of torch.nn.Module"),
        ("optimizer", "Bent", "is not an optimizer"),
        ("optimizer", "make", "but a function"),
        ("scheduler", "Bent", "is not a scheduler"),
    ],
)
@pytest.mark.usefixtures("here")
def test_what_is_merely_reachable_from_it_is_not_of_it(group, name, said):
    assert said in refused(group, f"targets_mine.{name}", ("targets_mine",))


def test_nothing_is_imported_before_it_is_trusted(here):
    (here / "targets_loud.py").write_text("from pathlib import Path\nPath('was_imported').touch()\n")
    for trust in ((), ("targets_lou",), ("targets_loud.other",), ("targets_loudest", "torch")):
        assert "not trusted" in refused("activation", "targets_loud.Act", trust)
    assert not (here / "was_imported").exists() and "targets_loud" not in sys.modules
    assert "there is no `Act`" in refused("activation", "targets_loud.Act", ("targets_loud",))
    assert (here / "was_imported").exists()


def test_a_trusted_module_does_not_open_the_folder_for_others(here):
    """A `sklearn.py` or `pandas.py` beside the trusted module does not take the place of the installed one."""
    resolve("activation", Choice("x", "targets_mine.Bent"), ("targets_mine",))
    assert str(here) not in sys.path


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import targets_not_there\n", "No module named 'targets_not_there' (targets_bad.py, line 1, in <module>)"),
        ("x = 1\ndef f(:\n", "(targets_bad.py, line 2)"),
        ("a = {}\nb = a['key']\n", "KeyError: 'key' (targets_bad.py, line 2, in <module>)"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
        ("x = 1\x00", "cannot be imported"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named_with_the_line(here, source, said):
    (here / "targets_bad.py").write_text(source)
    text = refused("activation", "targets_bad.Act", ("targets_bad",))
    assert text.startswith("activation=evil: `targets_bad` cannot be imported") and said in text


def test_a_module_that_is_not_there_or_has_the_name_of_another(here):
    assert "there is no module `targets_gone`" in refused("model", "targets_gone.f", ("targets_gone",))
    (here / "json.py").write_text("def f(): pass\n")
    assert "give json.py another name" in refused("model", "json.f", ("json",))
    assert "`_target_: targets_mine` is not the dotted name" in refused("model", "targets_mine", ("targets_mine",))


def test_a_package_of_the_users(here):
    (here / "targets_pack" / "inner").mkdir(parents=True)
    (here / "targets_pack" / "__init__.py").write_text("from targets_pack.inner.acts import f\n")
    (here / "targets_pack" / "inner" / "acts.py").write_text("def f(): pass\n")
    for target, trust in (
        ("targets_pack.f", "targets_pack"),
        ("targets_pack.inner.acts.f", "targets_pack"),
        ("targets_pack.inner.acts.f", "targets_pack.inner"),
    ):
        assert resolve("model", Choice("x", target), (trust,)).__module__ == "targets_pack.inner.acts"
    assert "not trusted" in refused("model", "targets_pack.f", ("targets_pack.inner",))


def test_python_m_does_not_import_from_the_current_folder(tmp_path):
    (tmp_path / "rich.py").write_text("from pathlib import Path\nPath('was_imported').touch()\n")
    (tmp_path / "difflib.py").write_text("from pathlib import Path\nPath('was_imported').touch()\n")
    command = [sys.executable, "-m", "actbench", "wrong"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, env={**os.environ})
    assert done.returncode == 2 and done.stderr.startswith("error: wrong: ")
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"rich.py", "difflib.py"}


# ---------------------------------------------------------------- what a file may not say, whatever way it comes in

EVIL = "open('PWNED', 'w').write('x')\nimport torch\nclass Act(torch.nn.Module):\n    def forward(self, x): return x.relu()\n"


@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\r"])
@pytest.mark.parametrize("key", ["trust: mine", "output_dir: /tmp/elsewhere"])
def test_a_line_that_python_sees_and_yaml_does_not_is_no_door(actbench, tmp_path, end, key):
    """A `# @package` behind such a line end was a directive for Hydra and a comment for whoever judged the file."""
    for folder in ("conf/scheduler", "conf/experiment"):
        (tmp_path / folder).mkdir(parents=True)
    header = f"# @by somebody{end}# @package _global_\n"
    (tmp_path / "conf/scheduler/bent.yaml").write_text(
        f"{header}{key}\nactivation:\n  _target_: mine.Act\n", newline=""
    )
    nice = "# @package _global_\ndefaults:\n- /scheduler/bent\n- _self_\ndropout: 0.1\n"
    (tmp_path / "conf/experiment/nice.yaml").write_text(nice)
    (tmp_path / "mine.py").write_text(EVIL)
    done = actbench("experiment=nice", "dataset=digits", "train.epochs=1", "num_seeds=1")
    assert done.returncode == 2
    assert "conf/scheduler/bent.yaml: " in done.stderr
    assert ("line ends that are not plain" in done.stderr) or end not in "\x85\u2028\u2029"  # the others are not YAML
    assert sorted(path.name for path in tmp_path.iterdir()) == ["conf", "mine.py"]


def test_what_was_composed_is_judged_as_well():
    """Even where a file gets past the judge, `trust` is what was typed."""
    from actbench.command import hydra_settings

    composed = {"trust": "mine", "output_dir": "outputs"}
    assert [p.where for p in hydra_settings.for_typing(composed, ["activation=bent"])] == ["trust"]
    assert hydra_settings.for_typing(composed, ["trust=mine"]) == []
    assert [p.where for p in hydra_settings.for_typing({"trust": None, "output_dir": "/etc"}, [])] == ["output_dir"]
    assert hydra_settings.for_typing({"trust": None, "output_dir": "/etc"}, ["output_dir=/etc"]) == []


def test_a_comment_that_would_be_a_directive_is_told_in_our_words(actbench, tmp_path):
    (tmp_path / "conf/activation").mkdir(parents=True)
    text = "# @author John Smith\n_target_: torch.nn.ReLU\n_partial_: true\n"
    (tmp_path / "conf/activation/bent.yaml").write_text(text)
    done = actbench("activation=bent")
    assert done.returncode == 2
    assert "`# @author John Smith` would be a directive of Hydra's" in done.stderr


def test_a_file_that_cannot_be_read_stops_only_who_chooses_it(actbench, tmp_path):
    (tmp_path / "conf/activation").mkdir(parents=True)
    os.mkfifo(tmp_path / "conf/activation/pipe.yaml")
    (tmp_path / "conf/activation/folder.yaml").mkdir()
    for words in (["list"], ["list", "activation"], ["--help"], ["--cfg", "job"]):
        assert actbench(*words).returncode == 0, words
    for name in ("pipe", "folder"):
        done = actbench(f"activation={name}", "dataset=digits")
        assert done.returncode == 2
        assert f"{name}.yaml" in done.stderr


def test_trust_in_one_module_is_none_in_its_neighbours(actbench, tmp_path, tiny):
    """Libraries look for optional packages by name: a file of such a name beside a trusted module is not for them."""
    (tmp_path / "conf/activation").mkdir(parents=True)
    (tmp_path / "conf/activation/plain.yaml").write_text("# z\n_target_: plainmod.Act\n_partial_: true\n")
    (tmp_path / "plainmod.py").write_text(EVIL.replace("open('PWNED', 'w').write('x')", "import helper"))
    (tmp_path / "helper.py").write_text("")
    for name in ("tensorflow", "triton", "pynvml", "colorama"):
        (tmp_path / f"{name}.py").write_text(f"open('{name}-ran', 'w').write('x')\n")
    done = actbench("activation=plain", "trust=plainmod", *tiny)
    assert done.returncode == 0, done.stderr
    assert [*tmp_path.glob("*-ran")] == []


def test_a_module_that_extends_pythons_path_itself_can_be_used(actbench, tmp_path, tiny):
    (tmp_path / "conf/activation").mkdir(parents=True)
    (tmp_path / "conf/activation/plain.yaml").write_text("# z\n_target_: plainmod.Act\n_partial_: true\n")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/deeper.py").write_text("slope = 1.0\n")
    reach = "import os, sys; sys.path.insert(0, os.path.join(os.path.dirname(__file__), 'lib')); import deeper"
    (tmp_path / "plainmod.py").write_text(EVIL.replace("open('PWNED', 'w').write('x')", reach))
    done = actbench("activation=plain", "trust=plainmod", *tiny)
    assert done.returncode == 0, done.stderr
