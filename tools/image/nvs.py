"""The settings as an NVS partition, by Espressif's generator.

Namespace `ringkey-cfg`, each setting a blob of UTF-8: MicroPython's esp32.NVS reads blobs and
32-bit numbers only.  The phone's keys are in a namespace of their own, and in no image.
"""

import io
from collections.abc import Mapping

from esp_idf_nvs_partition_gen import nvs_partition_gen as generator
from ringkey.errors import UserError

NAMESPACE = "ringkey-cfg"
MAX_NAME = 15  # characters: NVS_KEY_NAME_MAX_SIZE, less its zero
_PAGE = 4096
# Pages.  NVS itself wants one free page to move entries to; with fewer than three in all there
# is nothing left for the phone's keys and the Wi-Fi driver's own entries.
_MIN_PAGES = 3


def build(entries: Mapping[str, str], size: int) -> bytes:
    """Return an NVS partition of `size` octets with these entries; the same gives the same.

    Raises UserError: the partition is too small.
    """
    if size % _PAGE or size < _MIN_PAGES * _PAGE:
        raise UserError(
            f"the base's NVS partition has {size} octets: at least {_MIN_PAGES * _PAGE} are needed"
        )
    out = io.BytesIO()
    # The generator adds the page that has to stay free.
    nvs = generator.nvs_open(out, size - _PAGE, version=generator.Page.VERSION2)
    try:
        generator.write_entry(nvs, NAMESPACE, "namespace", "", "")
        for name in sorted(entries):
            if len(name) > MAX_NAME:
                raise ValueError(name)
            generator.write_entry(nvs, name, "data", "hex2bin", entries[name].encode().hex())
    except generator.InsufficientSizeError:
        raise UserError(f"the settings do not fit into the base's NVS partition of {size} octets") from None
    generator.nvs_close(nvs)
    return out.getvalue()
