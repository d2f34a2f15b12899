"""The phone's file system: littlefs, in the shape that MicroPython's `vfs.VfsLfs2` mounts."""

from collections.abc import Mapping
from dataclasses import dataclass

from littlefs import LittleFS
from littlefs.errors import LittleFSError
from ringkey.errors import UserError

BLOCK = 4096  # octets: a sector of the flash
# What extmod/vfs_lfs.c and vfs_lfsx.c mount with (readsize, progsize and lookahead of 32, cache
# of 4 × progsize, 100 block cycles).  The cache is part of the format: a file no larger than it
# lies within its directory's own block, and who mounts with a smaller one cannot read it.
_READ = _PROG = _LOOKAHEAD = 32
_CACHE = 128
_BLOCK_CYCLES = 100
# Octets of a directory's log before it is written anew, tidied.  Every look-up reads the logs on
# its way, and an import takes four: half as many reads for 32 KiB more of flash.  Not part of the
# format: what MicroPython writes later may be longer.
_LOG = 512


@dataclass(frozen=True, slots=True)
class FileSystem:
    """A file system as octets of flash; used: how many of them are in blocks that hold something."""

    data: bytes
    used: int


def build(files: Mapping[str, bytes], size: int) -> FileSystem:
    """Return a file system of just `size` octets with these files (path -> octets).

    The size must be the partition's: MicroPython mounts no other, and reports a corrupted file
    system then.  Raises UserError: they do not fit.
    """
    if size % BLOCK:
        raise ValueError(size)
    littlefs = LittleFS(
        mount=False,
        block_size=BLOCK,
        block_count=size // BLOCK,
        read_size=_READ,
        prog_size=_PROG,
        cache_size=_CACHE,
        lookahead_size=_LOOKAHEAD,
        block_cycles=_BLOCK_CYCLES,
        metadata_max=_LOG,
    )
    try:
        littlefs.format()
        littlefs.mount()
        for path in sorted(files):
            folder = path.rpartition("/")[0]
            if folder:
                littlefs.makedirs(folder, exist_ok=True)
            with littlefs.open(path, "wb") as file:
                file.write(files[path])
        used = littlefs.used_block_count * BLOCK
        littlefs.unmount()
    except LittleFSError as e:
        if e.code != LittleFSError.Error.LFS_ERR_NOSPC:
            raise
        raise UserError(
            f"the phone's files ({sum(map(len, files.values()))} octets) do not fit into the file system of"
            f" {size} octets that the base's partition table leaves: take a smaller base or a larger flash"
        ) from None
    return FileSystem(bytes(littlefs.context.buffer), used)
