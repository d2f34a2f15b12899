"""The words on the display, for each step and each failure: two lines of 16 characters.

In the heap only while something is looked up (phone/screen.py).
"""

# Name, first line, second line.  One text each: a phone's heap has no room for a hundred small
# ones (docs/memory.md).

# How far things are: the steps of ras/login.py, and this phone's own.  "%s" is what
# step() is given: the extension, or a check value to compare with the key server's.
STEPS = """
starting|Starting|
network|Waiting for the|network
fetching|Fetching keys|from key server
keys|Keys received|check %s
registering|Registering|%s
opening|Registered|opening channel
registered|Registered|%s
logging-out|Logging out|
ended|Switched off|
"""

# Why something failed: what was being done, and what came of it.  From phone/keyfetch.py,
# ras/login.py (from "no-answer"), phone/store.py (from "store-failed"), phone/app.py (from "fault") and a
# board's network (from "no-wifi").
REASONS = """
unreachable|Key server|unreachable
time-out|Key server|does not answer
wrong-root|Key server cert|wrong root CA
wrong-name|Key server cert|wrong name
expired|Key server cert|has expired
not-yet-valid|Key server cert|not yet valid
certificate|Key server cert|not accepted
no-tls|Key server|TLS failed
server-refused|Key server|refuses: %s
cut-off|Key server|broke off
bad-answer|Key server|answers nonsense
bad-key-file|Key file|is malformed
no-server|Settings: no|key server
no-memory|Fetching keys:|out of memory
no-root|Settings: no|root certificate
no-answer|Gatekeeper|does not answer
log-in-failed|Log-in failed:|ext. or PIN?
unknown-extension|Gatekeeper: ext.|is not known
other-gatekeeper|Gatekeepers all|point elsewhere
keys-obsolete|Gatekeeper: keys|are obsolete
key-revoked|Gatekeeper: key|is revoked
suite-refused|Gatekeeper: keys|of wrong suite
refused|Gatekeeper|refuses
logged-out|Gatekeeper has|logged you out
channel-failed|Channel failed,|trying again
store-failed|Store failed:|keys not saved
erase-failed|Store failed:|keys not erased
keys-lost|Stored keys lost|log in again
fault|Fault in|%s
was-hung|Restarted: hung|%s
was-faulty|Restarted: fault|%s
no-wifi|Settings: no|Wi-Fi network
wifi-not-found|Wi-Fi network|not found
wifi-security|Wi-Fi network:|other security
wifi-password|Wi-Fi password|not accepted
wifi-failed|Wi-Fi: could|not join
no-address|Wi-Fi: no|address (DHCP)
no-cable|Network cable or|DHCP missing
network-failed|Network failed|to start
"""


def words(name: str, detail: str = "") -> "tuple[str, str]":
    """Return the two lines for a step or a reason; for an unknown one, the name itself."""
    for table in (STEPS, REASONS):
        at = table.find("\n%s|" % name)
        if at >= 0:
            _, first, second = table[at + 1 : table.find("\n", at + 1)].split("|")
            return first, second.replace("%s", detail)
    return name, detail
