"""A disk and an NVS that lose their power: at a chosen step, with a chosen part of it done.

A step is anything after which the power may be gone: each operation, and each piece of a
write.  What is left of steps that were not flushed is up to the hardware; `left` chooses:

    "least"   nothing of what was not flushed has arrived
    "most"    all of it has
    "torn"    names have arrived, their octets by half; an NVS entry that was being written is lost
"""

LEFT = ("least", "most", "torn")
_PIECE = 64  # octets written in a step


class Cut(Exception):
    """The power is gone."""


class Power:
    """Counts steps, and is gone at step `until`."""

    def __init__(self):
        self.taken = 0
        self.until = None

    def step(self):
        """Do a step; raises Cut if the power goes before it."""
        if self.until is not None and self.taken >= self.until:
            raise Cut
        self.taken += 1


class Inode:
    def __init__(self):
        self.data = b""
        self.synced = b""


class Disk:
    """Files by path, as `os` and `open` for a driver.

    durable: a file is flushed when it is closed, and a removed one is gone at once, as littlefs
    does it; without it, as POSIX allows: nothing is kept before fsync, of file and directory.
    """

    def __init__(self, power, durable=False):
        self.power = power
        self.durable = durable
        self.names = {}
        self.synced = {}

    # -- what the driver sees

    def open(self, path, mode="r"):
        """Open a file, or the directory to flush it."""
        if mode == "wb":
            self.power.step()
            inode = self.names.get(path)
            if inode is None:
                inode = self.names[path] = Inode()
            inode.data = b""
            return _File(self, inode)
        if path in self.names:
            return _File(self, self.names[path])
        for name in self.names:
            if name.startswith(path + "/"):
                return _File(self, None)
        if path.endswith("state"):
            return _File(self, None)
        raise OSError(2, "ENOENT")

    def rename(self, old, new):
        self.power.step()
        self.names[new] = self.names.pop(old)

    def remove(self, path):
        self.power.step()
        if path not in self.names:
            raise OSError(2, "ENOENT")
        del self.names[path]
        if self.durable:
            self.synced.pop(path, None)

    # -- power

    def lose(self, left):
        """Be what is there after the power was gone."""
        names = self.synced if left == "least" else self.names
        kept = {}
        for name in names:
            inode = names[name]
            fresh = Inode()
            if left == "most":
                fresh.data = inode.data
            elif left == "torn" and inode.data != inode.synced:
                fresh.data = inode.data[: len(inode.data) // 2]
            else:
                fresh.data = inode.synced
            fresh.synced = fresh.data
            kept[name] = fresh
        self.names = kept
        self.synced = dict(kept)


class _File:
    def __init__(self, disk, inode):
        self.disk = disk
        self.inode = inode
        self.at = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.disk.durable and self.inode is not None and self.inode.data != self.inode.synced:
            self.flush()
            self.disk.synced = dict(self.disk.names)

    def read(self, count=-1):
        data = self.inode.data
        return data if count < 0 else data[:count]

    def write(self, data):
        for at in range(0, len(data), _PIECE):
            self.disk.power.step()
            self.inode.data += bytes(data[at : at + _PIECE])
        return len(data)

    def flush(self):
        self.disk.power.step()
        if self.inode is None:
            self.disk.synced = dict(self.disk.names)
        else:
            self.inode.synced = self.inode.data


class NVS:
    """esp32.NVS: each entry is written whole; without commit() a cut may undo what was set.

    The entry that is being written when the power goes may be lost; no other (platform notes).
    """

    NOT_FOUND = -0x1102
    TOO_SHORT = -0x110C
    NAME_TOO_LONG = -0x1109

    def __init__(self, power):
        self.power = power
        self.entries = {}
        self.committed = {}
        self.writing = None

    def get_blob(self, key, buffer):
        data = self.entries.get(key)
        if data is None:
            raise OSError(self.NOT_FOUND, "ESP_ERR_NVS_NOT_FOUND")
        if len(data) > len(buffer):
            raise OSError(self.TOO_SHORT, "ESP_ERR_NVS_INVALID_LENGTH")
        buffer[: len(data)] = data
        return len(data)

    def set_blob(self, key, data):
        if len(key) > 15:
            raise OSError(self.NAME_TOO_LONG, "ESP_ERR_NVS_KEY_TOO_LONG")
        self.power.step()
        self.writing = key
        self.power.step()  # within the write
        self.entries[key] = bytes(data)

    def erase_key(self, key):
        if key not in self.entries:
            raise OSError(self.NOT_FOUND, "ESP_ERR_NVS_NOT_FOUND")
        self.power.step()
        self.writing = key
        self.power.step()
        del self.entries[key]

    def commit(self):
        self.power.step()
        self.writing = None
        self.committed = dict(self.entries)

    def lose(self, left):
        """Be what is there after the power was gone."""
        if left == "least":
            self.entries = dict(self.committed)
        elif left == "torn" and self.writing is not None:
            self.entries.pop(self.writing, None)
        self.committed = dict(self.entries)
        self.writing = None
