"""The base: obtained as pinned, checked, taken apart; what is wrong with it is said in words."""

import hashlib
import json

import pytest
import standin
from image import base, board, partitions
from image.chips import CHIPS
from ringkey.errors import UserError

FLASH = 4 << 20


@pytest.fixture
def write(tmp_path):
    """`write(octets)` returns the path of a file with these."""

    def write(data):
        path = tmp_path / "base.bin"
        path.write_bytes(data)
        return path

    return write


@pytest.fixture
def esp32(tmp_path):
    """`esp32(sha256)` returns a board whose base is pinned with that hash."""

    def load(sha256):
        folder = tmp_path / "boards" / "lab"
        folder.mkdir(parents=True)
        pinned = {"address": "https://example.org/lab.bin", "sha256": sha256, "file": "lab.bin"}
        description = {"board": "lab", "mcu": "esp32", "flash": {"size": "4MB"}, "base": pinned}
        (folder / "board.json").write_text(json.dumps(description))
        return board.load("lab", boards=tmp_path / "boards")

    return load


@pytest.mark.parametrize("mcu", standin.CHIPS)
def test_a_base_comes_apart_into_what_it_was_made_of(mcu, write):
    data = standin.base(mcu)
    found = base.take_apart(write(data), CHIPS[mcu], FLASH)
    chip_id, offset, _, _ = standin.CHIPS[mcu]
    assert (CHIPS[mcu].image_id, CHIPS[mcu].bootloader) == (chip_id, offset)
    assert data.startswith(found.bootloader)
    assert data[0x8000 - offset :].startswith(found.table)
    assert found.table == standin.table()
    assert data[0x10000 - offset :] == found.application
    assert found.micropython == "v1.26.1"
    assert (found.layout.files.offset, found.layout.files.end) == (0x200000, FLASH)


def test_what_follows_an_image_in_the_file_is_left_away(write):
    data = standin.base("esp32")
    found = base.take_apart(write(data + b"\xff" * 4096), CHIPS["esp32"], FLASH)
    assert data.endswith(found.application)


def damaged(at, data=None):
    """Return an ESP32 base with one bit of octet `at` turned."""
    data = bytearray(data or standin.base("esp32"))
    data[at] ^= 1
    return bytes(data)


def sha_made_right(data):
    """Return an application with a wrong checksum, whose hash is that of what it is."""
    body = bytearray(data[:-32])
    body[100] ^= 1
    return bytes(body) + hashlib.sha256(body).digest()


WRONG = {
    "empty": (b"", "no bootloader"),
    "text": (b"not found" * 100, "no bootloader"),
    "another chip": (standin.base("esp32c3"), "another chip: ESP32-C3, and the board has ESP32"),
    "no chip of ours": (damaged(13), "another chip: a chip with the number 256"),
    "bootloader damaged": (damaged(0x100), "bootloader .* damaged"),
    "table damaged": (damaged(0x7000 + 4), "no partition table .*checksum is wrong"),
    "entry damaged": (damaged(0x7000 + 32), "no partition table .*entry 1 is damaged"),
    "no table": (standin.base("esp32", table_=b"\xff" * 0xC00), "no partition table .*there is none"),
    "cut off": (standin.base("esp32")[:0x5000], "no partition table .*there is none"),
    "application cut off": (standin.base("esp32")[:-5000], "application .* damaged"),
    "application missing": (standin.base("esp32", application=b""), "no application"),
    "application's hash": (damaged(-1), "application .* damaged: its SHA-256"),
    "application damaged": (damaged(0xF000 + 500), "application .* damaged"),
    "application's checksum": (
        standin.base("esp32", application=sha_made_right(standin.base("esp32")[0xF000:])),
        "application .* damaged: its checksum",
    ),
    "application of another chip": (
        standin.base("esp32", application=standin.base("esp32c3")[0x10000:]),
        "another chip: ESP32-C3",
    ),
    "not MicroPython": (standin.base("esp32", banner=b"blink 1.0"), "no MicroPython in it"),
    "too old": (
        standin.base("esp32", banner=b"MicroPython v1.22.2 on 2024-02-22"),
        "v1.22.2; it takes v1.23",
    ),
    "a whole flash": (standin.base("esp32").ljust(FLASH - 0x1000, b"\xff"), "copy of a whole flash"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_base_is_refused_and_what_is_wrong_is_said(case, write):
    data, words = WRONG[case]
    with pytest.raises(UserError, match=f"(?s){words}"):
        base.take_apart(write(data), CHIPS["esp32"], FLASH)


def test_a_base_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.bin cannot be read"):
        base.take_apart(tmp_path / "none.bin", CHIPS["esp32"], FLASH)


# -- the partition table


def nvs_at(offset, size=0x6000):
    return ("nvs", 1, 2, offset, size)


APP = ("factory", 0, 0, 0x10000, 0x1F0000)
LAYOUTS = {
    "no NVS": ((APP,), "no partition for NVS"),
    "NVS of another name": ((("nvs2", 1, 2, 0x9000, 0x6000), APP), "no partition for NVS"),
    "no application": ((nvs_at(0x9000),), "no partition for the application"),
    "overlap": ((nvs_at(0x9000, 0x8000), APP), "nvs and factory overlap"),
    "on the table": ((nvs_at(0x8000), APP), "lies on the table"),
    "beyond the flash": ((nvs_at(0x9000), ("factory", 0, 0, 0x10000, 0x400000)), "and the flash to 0x400000"),
    "FAT": ((nvs_at(0x9000), APP, ("ffat", 1, 0x81, 0x200000, 0x200000)), "FAT"),
    "full": ((nvs_at(0x9000), ("factory", 0, 0, 0x10000, 0x3F0000)), "no room for a file system"),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_a_layout_that_would_not_do_is_refused(case):
    entries, words = LAYOUTS[case]
    with pytest.raises(ValueError, match=words):
        partitions.layout(partitions.parse(standin.table(entries)), FLASH)


def test_a_partition_vfs_in_the_table_is_taken_as_it_is():
    entries = (nvs_at(0x9000), APP, ("vfs", 1, 0x81, 0x300000, 0x80000))
    found = partitions.layout(partitions.parse(standin.table(entries)), FLASH)
    assert (found.files.offset, found.files.size) == (0x300000, 0x80000)


def test_otadata_and_nvs_keys_are_noticed():
    entries = (nvs_at(0x9000, 0x4000), ("otadata", 1, 0, 0xD000, 0x2000), ("keys", 1, 4, 0xF000, 0x1000), APP)
    found = partitions.layout(partitions.parse(standin.table(entries, md5=False)), FLASH)
    assert found.otadata.offset == 0xD000
    assert found.encrypted


# -- obtaining it


def test_a_base_that_is_named_is_taken(esp32, tmp_path):
    assert base.obtain(esp32(None), tmp_path / "mine.bin", tmp_path) == tmp_path / "mine.bin"


def test_without_a_pinned_hash_nothing_is_downloaded(esp32, tmp_path):
    with pytest.raises(
        UserError, match=r"pins no SHA-256.*\nGet it from https://example.org/lab.bin"
    ) as caught:
        base.obtain(esp32(None), None, tmp_path / "cache", download=pytest.fail)
    assert caught.value.next_step == "make image BOARD=lab BASE=lab.bin"


def test_a_base_is_downloaded_once(esp32, tmp_path):
    data = standin.base("esp32")
    pinned = esp32(hashlib.sha256(data).hexdigest())
    asked = []

    def download(address):
        asked.append(address)
        return data

    for _ in range(2):
        path = base.obtain(pinned, None, tmp_path / "cache", download)
        assert path.read_bytes() == data
    assert asked == ["https://example.org/lab.bin"]


def test_a_download_with_another_hash_is_refused_and_not_kept(esp32, tmp_path):
    with pytest.raises(UserError, match="is not the file that"):
        base.obtain(esp32("0" * 64), None, tmp_path / "cache", lambda address: b"something else")
    assert not (tmp_path / "cache").exists()


def test_a_damaged_copy_in_the_cache_is_downloaded_again(esp32, tmp_path):
    data = standin.base("esp32")
    (tmp_path / "lab.bin").write_bytes(data[:-1])
    path = base.obtain(esp32(hashlib.sha256(data).hexdigest()), None, tmp_path, lambda address: data)
    assert path.read_bytes() == data


def test_without_internet_the_next_step_is_to_name_a_file(esp32, tmp_path):
    def download(address):
        raise OSError("no route to host")

    with pytest.raises(UserError, match="no route to host") as caught:
        base.obtain(esp32("0" * 64), None, tmp_path, download)
    assert caught.value.next_step == "make image BOARD=lab BASE=lab.bin"
