"""Whose fault an error is (after h11): ours, or the other end's."""


class ProtocolError(Exception):
    """Base of both; never raised itself.  Its text holds no secret."""


class LocalProtocolError(ProtocolError):
    """This end asked for something that its state does not allow: a bug here."""


class RemoteProtocolError(ProtocolError):
    """The other end sent what the protocol does not allow; its datagram is dropped."""
