"""A capture of whole registrations reads in tshark, with each field of the profile in its place.

tshark 4.0 prints no object identifier with an arc of over 64 bits ("Malformed OID" beside
the field, not of the packet), so the profile's own, under 2.25, are left to pycrate.
"""

from pair import pair
from ras import keys, message, profile
from tshark import fields, need_tshark, write_pcap

KINDS = {"GRQ": "0", "GCF": "1", "GRJ": "2", "RRQ": "3", "RCF": "4", "RRJ": "5", "URQ": "6", "UCF": "7"}
BAD = "_ws.malformed || _ws.expert.severity == error"


def life_of_a_phone(suite):
    """Return the datagrams of a phone that is refused, logs in, is kept alive and logs out."""
    net, phone, _, _ = pair(3, suite)
    phone.login.boot(None, 0)
    phone.login.entered("1002", "1234", 0)
    net.run(20000)
    phone.login.entered("1001", "1234", net.now)
    net.run(net.now + 400000)
    phone.login.log_out(net.now)
    net.run(net.now + 1000)
    return [(when / 1000, source, target, data) for when, data, source, target in net.log]


def test_a_capture_reads_without_a_malformed_packet(tmp_path):
    need_tshark()
    for suite in (keys.SHA256, keys.SHA1):
        datagrams = life_of_a_phone(suite)
        kinds = [message.decode_message(d[3]).kind for d in datagrams]
        assert kinds[:6] == ["GRQ", "GRJ", "GRQ", "GCF", "RRQ", "RCF"]
        assert kinds[-2:] == ["URQ", "UCF"]
        path = tmp_path / f"{suite.name}.pcap"
        write_pcap(path, datagrams)
        assert fields(path, "frame.number", display_filter=BAD) == []
        rows = fields(
            path, "h225.RasMessage", "h225.requestSeqNum", "h235.elementID", "h235.octets", "h225.icv"
        )
        assert len(rows) == len(datagrams)
        for row, (_, _, _, data) in zip(rows, datagrams, strict=True):
            m = message.decode_message(data)
            assert row[0] == KINDS[m.kind]
            assert int(row[1]) == m.value["requestSeqNum"]
            shown = dict(zip(row[2].split(","), row[3].replace(":", "").split(","), strict=True))
            assert shown == {str(number): value.hex() for number, value in profile.elements(m).items()}
            assert row[4].replace(":", "") == data[m.icv[0] : m.icv[0] + m.icv[1]].hex()
