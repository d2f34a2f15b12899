"""Object identifiers as the contents octets that PER carries (X.690 section 8.19).

Octets, not tuples of numbers: the profile's second arc has 128 bits, and a phone
would need big numbers to take it apart only to compare it.  dotted.py has the other form.
"""

# BASE = 2.25.273361958028179150373490966389896869464 (protocol.md section 4), in octets
# so that no big number is made on a phone; a test computes it from the dotted form.
BASE = b"\x69\x83\x9b\xa7\xcc\xc6\xd3\xc0\xe2\x95\xb3\x95\xd6\xfb\xb3\xe5\xdf\xa5\xec\x58"
PROFILE = BASE + b"\x01"  # BASE.1: tokenOID of the profile's ClearToken
ALGORITHM = BASE + b"\x02"  # BASE.2: algorithmOID less its last arc, the suite's

H225_V6 = b"\x00\x08\x91\x4a\x00\x06"  # 0.0.8.2250.0.6: protocolIdentifier
