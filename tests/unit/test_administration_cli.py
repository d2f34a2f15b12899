"""The command line of the administration: JSON, tables, colours, tab completion, exit status."""

import json

import click
import pytest
from ringkey import cli
from ringkey.administration import catalogue
from ringkey.cli import administering

SHELLS = ("bash", "zsh", "fish")
TOML = '[gatekeeper]\nlisten = "127.0.0.1"\n'


@pytest.fixture
def site(tmp_path, monkeypatch):
    (tmp_path / "ringkey.toml").write_text(TOML)
    (tmp_path / "gatekeeper").mkdir()
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("RINGKEY_SITE", str(tmp_path))
    return tmp_path


@pytest.fixture
def ringkey(site, capsys):
    """`ringkey("extension", "list")` gives (exit status, standard output, standard error)."""

    def run(*args):
        with pytest.raises(SystemExit) as ended:
            cli.main([*args])
        out = capsys.readouterr()
        return ended.value.code, out.out, out.err

    return run


def command(path):
    found = cli.cli
    for name in path:
        found = found.get_command(click.Context(found), name)
    return found


def test_what_the_table_names_can_be_had_as_json():
    for one in (*catalogue.actions().values(), *catalogue.queries().values()):
        names = {option for parameter in command(one.command).params for option in parameter.opts}
        assert "--json" in names, one.command


def test_what_was_done_as_text_and_as_json(ringkey):
    assert ringkey("extension", "add", "1001", "--generate", "--label", "Ann")[0] == 0
    status, out, _ = ringkey("extension", "label", "1001", "Bob", "--json")
    assert (status, json.loads(out)) == (0, {"ext": "1001"})
    status, out, _ = ringkey("extension", "pin", "1001", "--generate", "--json")
    assert json.loads(out)["pin"].isdigit()
    status, out, _ = ringkey("phone", "list", "--json")
    (one,) = json.loads(out)["phones"]
    assert (one["ext"], one["label"], one["state"]) == ("1001", "Bob", "absent")
    status, out, _ = ringkey("audit", "list", "--log", "admin")
    assert "extension.pin" in out
    assert "command line" in out


def test_the_exit_status_says_who_was_wrong(ringkey):
    status, out, err = ringkey("phone", "show", "9")
    assert (status, out) == (1, "")
    assert "there is no extension 9" in err
    assert ringkey("phone", "list", "--state", "asleep")[0] == 2
    assert ringkey("setting", "set", "gatekeeper.time_to_live", "3")[0] == 2
    assert ringkey("setting", "set", "gatekeeper.colour", "red")[0] == 2
    assert ringkey("phone", "refresh", "9")[0] == 1


def test_an_import_is_shown_before_it_is_done(ringkey, site):
    file = site / "new.csv"
    file.write_text("1001,4711,Ann\n1002,,Bob\n1003,12x\n1001,1\n")
    status, out, _ = ringkey("extension", "import", "--preview", "--generate", str(file))
    assert status == 1
    assert "line 3: PIN: digits 0 to 9 only" in out
    assert "line 4: extension 1001 was on line 1 already" in out
    assert "2 to add, 0 to change, 0 the same, 2 wrong; nothing was done" in out
    assert "4711" not in out
    file.write_text("1001,4711,Ann\n1002,,Bob\n")
    status, out, _ = ringkey("extension", "import", "--generate", str(file))
    assert status == 0
    assert "1002  PIN " in out
    assert "4711" not in out
    exported = site / "exported.csv"
    ringkey("extension", "export", "--out", str(exported))
    status, out, _ = ringkey("extension", "import", "--preview", "--update", str(exported))
    assert (status, "0 to add, 0 to change, 2 the same, 0 wrong" in out) == (0, True)


def test_the_enrolment_list_and_window(ringkey, site):
    (site / "ringkey.toml").write_text(TOML + '[keyserver]\nserver_id = "02:fc:00:00:00:01"\n')
    (site / "keyserver").mkdir()
    file = site / "list.csv"
    file.write_text("ext,serial\n1001,\n,A4-0815\n")
    status, out, _ = ringkey("enrol", "import", str(file))
    assert status == 0
    assert f"2 entries are listed (2 in {file})." in out
    assert 'Note: the policy is "open"' in out
    file.write_text("100x,\n")
    status, _, err = ringkey("enrol", "import", str(file))
    assert status == 1
    assert f"{file}: nothing was imported" in err
    file.write_text("1001,\n")
    assert "1 entries are listed" in ringkey("enrol", "import", "--remove", str(file))[1]
    assert "The window is open until " in ringkey("enrol", "open", "--minutes", "5", "--phones", "2")[1]
    status, out, _ = ringkey("enrol", "status", "--json")
    found = json.loads(out)
    assert (found["listed"], found["open"], found["window"]["phones_left"]) == (1, True, 2)
    assert "The window is closed." in ringkey("enrol", "close")[1]
    assert "window   closed" in ringkey("enrol", "status")[1]


def test_labels_that_a_spreadsheet_would_compute_come_back_as_they_were(ringkey, site):
    ringkey("extension", "add", "1", "--generate", "--label", "=1+1")
    status, out, _ = ringkey("extension", "export")
    assert "1,,'=1+1\n" in out
    (site / "e.csv").write_text(out)
    status, out, _ = ringkey("extension", "import", "--preview", "--update", str(site / "e.csv"))
    assert "1 the same" in out


def test_what_others_chose_does_not_move_a_terminal():
    assert administering.plain("\x1b[2Jgone\u202e\x07") == "?[2Jgone??"


def test_tables_and_colours_are_for_terminals(monkeypatch, capsys):
    administering.show_table(("A", "B"), [("1", "x" * 300)])
    assert capsys.readouterr().out.splitlines() == ["A  B", "1  " + "x" * 300]
    assert administering.styled("text", fg="red") == "text"
    monkeypatch.setattr(administering.sys.stdout, "isatty", lambda: True, raising=False)
    assert administering.styled("text", fg="red") == "\x1b[31mtext\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert administering.styled("text", fg="red") == "text"


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_is_printed_for_a_shell(ringkey, shell):
    status, out, err = ringkey("completion", shell)
    assert (status, err) == (0, "")
    assert f"_RINGKEY_COMPLETE={shell}_complete" in out
    assert "%(" not in out


def test_commands_and_extensions_are_completed(ringkey, monkeypatch):
    ringkey("extension", "add", "1001", "--generate")
    ringkey("extension", "add", "2002", "--generate")
    for words, found in (
        ("ringkey pho", "plain,phone\n"),
        ("ringkey extension lab", "plain,label\nplain,labels\n"),
        ("ringkey phone show 1", "plain,1001\n"),
        ("ringkey phone list --state fail", "plain,failing\n"),
    ):
        monkeypatch.setenv("_RINGKEY_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
        assert ringkey()[1] == found, words
