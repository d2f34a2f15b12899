"""A small TLS 1.2 client with a pre-shared key, without I/O.

One copy for CPython (tests, tools) and for a MicroPython whose own TLS has no PSK
(the unix port, boards before 1.29).  One suite, TLS_PSK_WITH_AES_128_CBC_SHA256
(RFC 5487) with encrypt-then-MAC (RFC 7366): it needs nothing but SHA-256 and
AES-CBC, which every MicroPython has.

    from tlspsk.client import PSKClient

    conn = PSKClient(identity, key, os.urandom)
    conn.start()
    sock.sendall(conn.data_to_send())
    conn.receive(sock.recv(4096))
    event = conn.next_event()

The modules, lowest first: errors, prf, record, handshake, states, client.  Nothing is
imported here: a phone loads what it needs.
"""
