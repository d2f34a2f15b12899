"""Takes modules out of the heap that are needed for a while only (docs/memory.md).

A module read from the file system lives in the heap.  Whoever lets one go imports it in a
function, keeps no class and no function of it, and calls this when it is done; the next
collection takes it, and the next import reads it again.
"""

import gc
import sys

# What is in the heap only while it is at work: docs/memory.md has the rule.
FETCHING = "phone.fetching phone.keyfetch phone.http ras.keyfile ras.hostport ras.generator"
STORING = "phone.storing phone.store ras.record_octets"
# Types of messages; those of RRQ and RCF stay, without the modules that made them.
TYPES = "ras.h225_discovery ras.h225_registration ras.h225_reject ras.h225_end ras.h225 ras.h235"
# What a phone that is not registered can do without, while it fetches keys: TYPES, and
RAS = "ras.endpoint ras.message ras.build ras.profile ras.aper ras.per ras.oids"
# and the channel.
CHANNEL = "phone.channel ras.tpkt phone.psk_native phone.psk_own ras.aes"
TLSPSK = "tlspsk.client tlspsk.record tlspsk.states tlspsk.messages tlspsk.errors tlspsk.prf"


def unload(names: str) -> None:
    """Forget the modules `names`, dotted, a space between two; those that are not loaded are passed over."""
    for name in names.split(" "):
        if sys.modules.pop(name, None) is not None:
            dot = name.rfind(".")
            # A package refers to its modules, too.
            package = sys.modules.get(name[:dot])
            if package is not None and hasattr(package, name[dot + 1 :]):
                delattr(package, name[dot + 1 :])


def make_room(*groups: str) -> None:
    """Forget the modules of `groups`, and collect at once: what is read next shall not make the heap grow."""
    for names in groups:
        unload(names)
    gc.collect()
