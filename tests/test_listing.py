"""`actbench list`, `--help` and a bare `actbench`: everything is there, marked, whole at every width, and findable."""

from __future__ import annotations

import re

import pytest

from actbench.choices import choices_of, groups, packaged_conf, parameters_of, usual_choices, usual_values
from actbench.command import help as helped
from actbench.command import listing
from actbench.command.columns import rows, wrapped
from actbench.command.completion import candidates
from actbench.command.conf_source import choice_of
from actbench.command.rules import split
from actbench.diagnosis import rules
from actbench.errors import UserError
from actbench.measures import glossary
from actbench.naming import shown
from actbench.settings import GROUPS


def listed(capsys, *arguments):
    listing.show(arguments)
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 100, 120, 300])
@pytest.mark.parametrize("what", ["help", "list", "choices"])
def test_no_word_is_broken_and_no_line_too_long_at_any_width(capsys, monkeypatch, columns, what):
    def show():
        if what == "help":
            helped.show()
        else:
            listing.show([] if what == "list" else sorted({c.name for group in groups() for c in choices_of(group)}))
        return capsys.readouterr().out

    monkeypatch.setenv("COLUMNS", "100000")
    monkeypatch.setattr("actbench.command.columns._WIDEST", 100_000)
    words = sorted(show().split())
    monkeypatch.undo()
    monkeypatch.setenv("COLUMNS", str(columns))
    text = show()
    assert sorted(text.split()) == words
    for line in text.splitlines():
        assert len(line) <= columns or len(line.split()) <= 2, line  # a single word may be longer than a narrow line


def test_a_table_breaks_between_words_and_stacks_where_it_is_narrow():
    assert rows([("a", "one two"), ("bb", "")], 80) == ["  a   one two", "  bb"]
    assert rows([("a", "one two three"), ("bb", "x")], 10) == [
        "  a",
        "      one",
        "      two",
        "      three",
        "  bb",
        "      x",
    ]
    long = "word " * 30
    lines = rows([("name", long)], 60)
    assert all(line.startswith(" " * 8) for line in lines[1:])
    assert " ".join(" ".join(lines).split()) == "name " + long.strip()
    assert wrapped("", 10) == []


def test_every_group_marks_its_default(capsys):
    import yaml

    defaults = yaml.safe_load((packaged_conf() / "config.yaml").read_text())["defaults"]
    typed = {key: value for one in defaults if isinstance(one, dict) for key, value in one.items() if "/" not in key}
    typed.pop("experiment")
    assert usual_choices() == typed
    for group in GROUPS:
        marked = [line.split()[0] for line in listed(capsys, group).splitlines() if "(default)" in line]
        assert marked == [typed[group]], group
    helped.show()
    text = " ".join(capsys.readouterr().out.split())
    for group, name in typed.items():
        assert f"{name} (default)" in text, group


@pytest.mark.parametrize("group", [group for group in GROUPS if group != "upper_activation"])
def test_a_choice_shows_its_description_parameters_defaults_and_comments_and_how_to_type_it(capsys, group):
    for choice in choices_of(group):
        text = listed(capsys, group, choice.name)
        assert text.startswith(f"{group}={choice.name}")
        assert choice.description in " ".join(text.split())
        assert re.search(rf"type +actbench {group}={choice.name}\b", text)
        truth = choice_of(group, choice.name).params  # as OmegaConf reads the file
        assert [one.name for one in parameters_of(choice)] == [key for key in truth if key != "defaults"]
        for one in parameters_of(choice):
            value = truth[one.name]
            default = f"as {value[2:-1]}" if str(value).startswith("${") else one.default
            assert re.search(rf"{group}\.{one.name} +{re.escape(default)}", text), one
            rule, remark = split(one.comment, whole=isinstance(value, int))
            assert remark in " ".join(text.split())
            assert rule is None or isinstance(value, list) or rule.expected in " ".join(text.split())
            if not isinstance(value, (str, list)):
                assert float(one.default) == value if isinstance(value, float) else one.default == shown(value)


def test_a_choice_is_found_by_its_name_behind_its_group_and_as_it_is_typed(capsys):
    one = listed(capsys, "relu")
    assert one == listed(capsys, "activation", "relu") == listed(capsys, "activation=relu")
    assert "max(0, z)" in one
    assert "activation=relu (default)" in one
    assert "upper_activation=relu" in one
    assert "optimizer" not in one
    assert "activation=relu" in listed(capsys, "upper_activation", "relu")


def test_a_name_of_several_groups_shows_all(capsys):
    text = listed(capsys, "none")
    assert [line.split()[0] for line in text.splitlines() if "=" in line and not line.startswith(" ")] == [
        "augment=none", "clip=none", "norm=none",
    ]  # fmt: skip
    both = listed(capsys, "norm")
    assert both.startswith("norm\n")
    assert "clip=norm" in both


def test_presets_say_what_they_set(capsys):
    text = " ".join(listed(capsys, "mish_depth").split())
    for said in ("experiment=mish_depth", "activation=mish", "norm.momentum=0.01", "train.batch_size=128"):
        assert said in text
    text = listed(capsys, "depths")
    assert "model.depth: 1, 2, 3, 5, 8, 12" in text
    assert "actbench -m +sweep=depths" in text
    assert "actbench list optimizer" in listed(capsys, "optimizers")


def test_what_is_misspelt_is_suggested_all_at_once():
    with pytest.raises(UserError) as caught:
        listing.show(["reluu", "optimzer", "relu", "qqq"])
    reluu, optimzer, nothing = caught.value.problems
    assert "relu" in reluu.how
    assert "optimizer" in optimzer.how
    assert nothing.how.startswith("groups: activation, ")


def test_the_users_own_choices_are_shown_and_marked(capsys, tmp_path, monkeypatch):
    folder = tmp_path / "conf" / "activation"
    folder.mkdir(parents=True)
    (folder / "bent.yaml").write_text(
        "# sqrt(z² + 1) [bold]really[/bold]\n_target_: mine.Bent\n_partial_: true\nscale: 1.5  # how bent\nnames: [a, b]\n"
    )
    monkeypatch.chdir(tmp_path)
    assert re.search(r"bent +sqrt\(z² \+ 1\) \[bold\]really\[/bold\] \(yours\)", listed(capsys, "activation"))
    text = listed(capsys, "bent")
    assert re.search(r"activation\.scale +1\.5 +how bent", text)
    assert "activation.names" in text
    assert "mine.Bent" in text
    (folder / "bent.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="cannot be read"):
        listing.show(["bent"])


def test_a_bare_command_says_in_two_lines_what_it_does(actbench, tmp_path):
    lines = helped.of_a_bare_command()
    assert len(lines) == 2
    assert all(len(line) <= 100 for line in lines)
    values = usual_values()
    for said in ("activation=relu", "model=mlp", f"{values['num_seeds']} seeds", f"{values['train.epochs']} epochs"):
        assert said in lines[0]
    assert "actbench list" in lines[1]
    done = actbench(env={"ACTBENCH_DATA": str(tmp_path / "file")}, cwd=_occupied(tmp_path))  # which cannot train
    assert done.returncode == 2
    assert done.stderr.startswith("\n".join(lines) + "\nerror: ")


def _occupied(tmp_path):
    (tmp_path / "file").write_text("no folder")
    return tmp_path


# ---------------------------------------------------------------- what is measured, and what is made of it


@pytest.mark.parametrize("columns", [20, 40, 80, 120, 300])
@pytest.mark.parametrize("topic", ["measures", "findings", "dead-units"])
def test_the_glossary_is_whole_at_any_width(capsys, monkeypatch, columns, topic):
    monkeypatch.setenv("COLUMNS", str(columns))
    text = listed(capsys, topic)
    for line in text.splitlines():
        assert len(line) <= min(columns, 120) or len(line.split()) <= 2, line
    dead_units = next(rule for rule in rules() if rule.code == "dead-units")
    truth = {
        "measures": [f"{q.key} {q.definition} {q.source} {q.summary} {' '.join(q.tables)}" for q in glossary()],
        "findings": [f"{rule.code} {rule.summary}" for rule in rules()],
        "dead-units": [getattr(dead_units, name) for name in ("code", "summary", "what", "why", "example", "remedy")],
    }[topic]
    for sentence in truth:
        assert {*_words(sentence)} <= {*_words(text)}


def _words(text):
    return re.sub(r"[`(),.;:]", " ", text).split()


def test_a_finding_is_found_by_its_code_and_by_a_slip(capsys):
    assert "No gradient reaches a dead unit" in listed(capsys, "dead-units")
    with pytest.raises(UserError) as error:
        listing.show(["dead-unit"])
    assert "did you mean dead-units?" in str(error.value)


def test_completion_offers_what_list_explains():
    assert {"measures", "findings"} <= {candidate.word for candidate in candidates(["list"], "")}
    assert [candidate.word for candidate in candidates(["list"], "dead")] == ["dead-units"]
    assert {"dead-units", "mean-shift"} <= {candidate.word for candidate in candidates(["list", "findings"], "")}


@pytest.mark.parametrize(
    ("word", "name"), [("lrelu", "leaky_relu"), ("bn", "batch"), ("LeNet", "cnn"), ("kaiming", "he_normal")]
)
def test_list_knows_the_names_that_a_choice_has_elsewhere(capsys, word, name):
    assert listed(capsys, word) == listed(capsys, name)


def test_list_knows_them_behind_their_group(capsys):
    assert listed(capsys, "activation=lrelu") == listed(capsys, "activation=leaky_relu")
