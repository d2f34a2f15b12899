"""The directory of extensions, on real SQLite files."""

import json
import os
import sqlite3
import subprocess
import sys
import threading

import pytest
from directory_files import EXT, PIN, put_key, raw
from hypothesis import given, settings
from hypothesis import strategies as st
from ringkey.gatekeeper import errors, pins
from ringkey.gatekeeper.bulk import ENOUGH, MAX_IMPORT, MAX_LABEL, MAX_PROBLEMS, parse
from ringkey.gatekeeper.directory import Directory, Entry
from ringkey.gatekeeper.migrations import HEAD


@pytest.fixture
def paths(tmp_path):
    return tmp_path / "directory.db", tmp_path / "pin.key"


@pytest.fixture
def directory(paths):
    with Directory.open(*paths) as opened:
        yield opened


def test_what_is_added_is_found(directory):
    directory.add("1001", "4711", "Ann, room 5")
    found = directory.get("1001")
    assert found is not None
    assert (found.ext, found.pin, found.label, found.enabled) == ("1001", "4711", "Ann, room 5", True)
    assert found.created == found.changed > 1_700_000_000
    assert directory.get("1002") is None
    assert directory.count() == 1


def test_the_pin_is_in_no_repr(directory):
    directory.add("1001", "471147114711")
    assert "471147114711" not in repr(directory.get("1001"))
    assert "471147114711" not in repr(directory.list())
    assert "471147114711" not in repr(parse(["1001,471147114711"]))


def test_list_has_all_without_pins_in_the_order_of_numbers(directory):
    for ext in ("20", "1001", "9", "100"):
        directory.add(ext, "4711")
    assert [entry.ext for entry in directory.list()] == ["9", "20", "100", "1001"]
    assert all(type(entry) is Entry for entry in directory.list())


def test_change_and_remove(directory):
    directory.add("1001", "4711")
    directory.set_pin("1001", "0815")
    directory.disable("1001")
    found = directory.get("1001")
    assert (found.pin, found.enabled) == ("0815", False)
    directory.enable("1001")
    assert directory.get("1001").enabled
    directory.remove("1001")
    assert directory.get("1001") is None


@pytest.mark.parametrize(
    "act",
    [
        lambda d: d.remove("7"),
        lambda d: d.set_pin("7", "1"),
        lambda d: d.enable("7"),
        lambda d: d.disable("7"),
    ],
)
def test_an_unknown_extension_is_refused_with_the_next_command(directory, act):
    with pytest.raises(errors.ExtensionRefusedError, match="ringkey extension list"):
        act(directory)


@pytest.mark.parametrize(
    ("ext", "pin", "label"),
    [
        ("", "1", ""),
        ("12a", "1", ""),
        ("١٢", "1", ""),  # Arabic digits are digits to str.isdigit, not to a phone
        ("1" * 21, "1", ""),
        ("1", "", ""),
        ("1", "12x", ""),
        ("1", "1" * 17, ""),
        ("1", "1", "x" * (MAX_LABEL + 1)),
        ("1", "1", "bell\a"),
    ],
)
def test_malformed_ones_are_refused_and_not_kept(directory, ext, pin, label):
    with pytest.raises(errors.ExtensionRefusedError):
        directory.add(ext, pin, label)
    assert directory.count() == 0


def test_an_extension_cannot_be_added_twice(directory):
    directory.add("1001", "4711")
    with pytest.raises(errors.ExtensionRefusedError, match="there already"):
        directory.add("1001", "0815")
    assert directory.get("1001").pin == "4711"


def test_another_process_sees_a_change_at_once(paths, directory):
    directory.add("1001", "4711")
    assert directory.get("1001").pin == "4711"
    with Directory.open(*paths) as other:
        other.set_pin("1001", "0815")
        assert directory.get("1001").pin == "0815"
        directory.remove("1001")
        assert other.get("1001") is None


# Versions of the database


def test_the_head_is_the_newest_file():
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "ringkey.gatekeeper:migrations")
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_a_new_database_has_the_newest_version_and_the_tables_the_code_expects(paths):
    Directory.open(*paths).close()
    assert raw(paths[0], "SELECT version_num FROM alembic_version") == [(HEAD,)]
    from ringkey.gatekeeper.directory import _metadata

    for name, table in _metadata.tables.items():
        columns = {row[1]: bool(row[3]) for row in raw(paths[0], f"PRAGMA table_info({name})")}
        assert columns == {column.name: not column.nullable for column in table.columns}


def test_an_empty_file_becomes_a_directory(paths):
    put_key(paths[1])
    paths[0].touch(0o600)
    with Directory.open(*paths) as directory:
        directory.add("1001", "4711")
    assert raw(paths[0], "SELECT version_num FROM alembic_version") == [(HEAD,)]


def test_a_migration_cut_off_leaves_nothing_and_the_next_start_does_it(paths, monkeypatch):
    from alembic import command

    upgrade = command.upgrade

    def cut_off(config, revision):
        upgrade(config, revision)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "upgrade", cut_off)
    with pytest.raises(KeyboardInterrupt):
        Directory.open(*paths)
    assert raw(paths[0], "SELECT name FROM sqlite_master") == []
    monkeypatch.undo()
    with Directory.open(*paths) as directory:
        directory.add("1001", "4711")


def test_a_newer_database_is_refused_and_left_alone(paths):
    with Directory.open(*paths) as directory:
        directory.add("1001", "4711")
    raw(paths[0], "UPDATE alembic_version SET version_num = '9999'")
    before = paths[0].read_bytes()
    with pytest.raises(errors.DirectoryFormatError, match=r"newer ringkey.*9999"):
        Directory.open(*paths)
    assert paths[0].read_bytes() == before


def test_someone_elses_database_is_refused_and_left_alone(paths):
    raw(paths[0], "CREATE TABLE recipe (name)")
    put_key(paths[1])
    with pytest.raises(errors.DirectoryFormatError, match="no directory of extensions"):
        Directory.open(*paths)
    assert raw(paths[0], "SELECT name FROM sqlite_master") == [("recipe",)]


def test_a_file_that_is_no_database_is_refused(paths):
    Directory.open(*paths).close()
    paths[0].write_bytes(b"this is not a database, whatever its name says" * 100)
    with pytest.raises(errors.DirectoryFormatError, match="damaged"):
        Directory.open(*paths)


def test_processes_that_open_a_new_directory_together_agree(paths):
    script = (
        "import sys, pathlib\n"
        "from ringkey.gatekeeper.directory import Directory\n"
        "with Directory.open(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])) as d:\n"
        "    d.add(sys.argv[3], '4711')\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    running = [
        subprocess.Popen([sys.executable, "-c", script, *map(str, paths), str(n)], env=environment)
        for n in range(6)
    ]
    assert [process.wait(60) for process in running] == [0] * 6
    with Directory.open(*paths) as directory:
        assert [directory.get(str(n)).pin for n in range(6)] == ["4711"] * 6


# When the database does not answer


def test_reading_goes_on_while_another_process_writes(paths, directory):
    directory.add("1001", "4711")
    writer = sqlite3.connect(paths[0], isolation_level=None)
    try:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM extension")
        assert directory.get("1001").pin == "4711"
    finally:
        writer.close()


def test_a_locked_database_is_a_clear_error_and_heals(paths):
    Directory.open(*paths).close()
    with Directory.open(*paths, patience=0.05) as directory:
        writer = sqlite3.connect(paths[0], isolation_level=None)
        try:
            writer.execute("BEGIN IMMEDIATE")
            with pytest.raises(errors.DirectoryBusyError, match="nothing was changed"):
                directory.add("1001", "4711")
        finally:
            writer.close()
        directory.add("1001", "4711")
        assert directory.get("1001").pin == "4711"


def test_a_writer_waits_for_another(paths, directory):
    writer = sqlite3.connect(paths[0], isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.3, lambda: (writer.execute("COMMIT"), writer.close()))
    timer.start()
    directory.add("1001", "4711")
    timer.join()
    assert directory.count() == 1


def test_a_disk_that_takes_no_more_is_a_clear_error_and_loses_nothing(paths):
    with Directory.open(*paths) as directory:
        directory.add("1", "4711")
    script = (
        "import json, pathlib, resource, signal, sys\n"
        "from ringkey.gatekeeper import errors\n"
        "from ringkey.gatekeeper.directory import Directory\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "with Directory.open(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])) as d:\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        "    try:\n"
        "        d.import_csv(f'{n},4711' for n in range(1000, 9000))\n"
        "    except errors.DirectoryUnavailableError as error:\n"
        "        print(json.dumps([str(error), d.count(), d.get('1').pin]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, paths)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    text, count, pin = json.loads(done.stdout)
    assert "disk" in text
    assert (count, pin) == (1, "4711")
    with Directory.open(*paths) as directory:
        assert [entry.ext for entry in directory.list()] == ["1"]


# Import


def test_an_import_takes_all(directory):
    lines = ["EXT,PIN,Label\n", "1001,4711,Ann\n", "\n", '1002,0815,"Bob, the cook"\n', "1003, 2342\n"]
    assert directory.import_csv(lines) == 3
    assert [(e.ext, e.label) for e in directory.list()] == [
        ("1001", "Ann"),
        ("1002", "Bob, the cook"),
        ("1003", ""),
    ]
    assert directory.get("1003").pin == "2342"


def test_an_import_takes_all_or_nothing_and_names_lines(directory):
    directory.add("1005", "4711")
    lines = ["1001,99887766\n", "x,99887766\n", "1001,99887766\n", "1002\n", "1003,998877x66\n"]
    with pytest.raises(errors.ImportRefusedError) as caught:
        directory.import_csv(lines)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "line 2",
        "line 3",
        "line 4",
        "line 5",
    ]
    assert "9988" not in str(caught.value)
    with pytest.raises(errors.ImportRefusedError, match="line 2: extension 1005 is there already"):
        directory.import_csv(["1001,1\n", "1005,1\n"])
    assert [entry.ext for entry in directory.list()] == ["1005"]


def test_an_import_of_nonsense_names_the_first_few_lines(directory):
    with pytest.raises(errors.ImportRefusedError) as caught:
        directory.import_csv(["nonsense\n"] * 1000)
    assert len(caught.value.problems) == MAX_PROBLEMS + 1
    assert caught.value.problems[-1] == f"and {1000 - MAX_PROBLEMS} more"


def test_an_import_has_an_end(directory):
    rows, problems = parse("x\n" for _ in range(ENOUGH + 10))
    assert (len(rows), len(problems)) == (0, ENOUGH + 1)
    assert problems[-1] == f"line {ENOUGH + 1}: {ENOUGH} lines were wrong before it; it was not read on"
    rows, problems = parse(f"{n},1\n" for n in range(MAX_IMPORT + 10))
    assert len(rows) == MAX_IMPORT
    assert problems == [f"line {MAX_IMPORT + 1}: more than {MAX_IMPORT} extensions; split the file"]


@settings(max_examples=300)
@given(st.lists(st.text(max_size=40), max_size=10))
def test_no_csv_crashes_the_parser(lines):
    rows, problems = parse(lines)
    assert all(1 <= row.line <= len(lines) for row in rows)
    assert all(problem.startswith("line ") for problem in problems)


@settings(max_examples=50, deadline=None)
@given(wanted=st.dictionaries(EXT, PIN, max_size=20))
def test_what_is_imported_is_there(tmp_path_factory, wanted):
    base = tmp_path_factory.mktemp("import")
    with Directory.open(base / "directory.db", base / "pin.key") as directory:
        assert directory.import_csv(f"{ext},{pin}\n" for ext, pin in wanted.items()) == len(wanted)
        assert {entry.ext: directory.get(entry.ext).pin for entry in directory.list()} == wanted


def test_pins_in_memory_follow_every_change(paths):
    with Directory.open(*paths) as gatekeeper, Directory.open(*paths) as command:
        found = pins.Pins(gatekeeper)
        assert found.get("1001") is None
        command.add("1001", "4711")
        assert (found.get("1001"), found.get("1001")) == ("4711", "4711")
        command.set_pin("1001", "815")
        assert found.get("1001") == "815"
        command.disable("1001")
        assert found.get("1001") is None
        command.enable("1001")
        assert found.get("1001") == "815"
        gatekeeper.set_pin("1001", "99")  # its own changes as well
        assert found.get("1001") == "99"
        command.remove("1001")
        assert found.get("1001") is None
        assert "99" not in repr(found)


def test_pins_in_memory_are_read_once_and_bounded(paths, monkeypatch):
    monkeypatch.setattr(pins, "MAX_PINS", 2)
    with Directory.open(*paths) as directory:
        for ext in ("1", "2", "3"):
            directory.add(ext, "4711")
        found = pins.Pins(directory)
        read = []
        get = directory.get
        monkeypatch.setattr(directory, "get", lambda ext: (read.append(ext), get(ext))[1])
        for ext in ("1", "2", "2", "1", "3", "2", "1", "9", "9"):
            found.get(ext)
        assert read == ["1", "2", "3", "1", "9", "9"]


def test_asking_for_changes_waits_no_longer_than_everything_else(paths, monkeypatch):
    waits, connect = [], sqlite3.connect

    def noted(path, timeout, **more):
        waits.append(timeout)
        return connect(path, timeout=timeout, **more)

    monkeypatch.setattr("ringkey.gatekeeper.directory.sqlite3.connect", noted)
    with Directory.open(*paths, 0.25) as directory:
        directory.version()
    assert waits[-1] == 0.25
