"""The state machines as tables: (state, event) to the next state.

One `Machine` runs any of them and does not know which side it plays.  What is not in a
table can not happen: an event of our own making without an entry is a LocalProtocolError
that names event, role and state; for a message, ask `allows` first and drop it if not.
"""

from ras.errors import LocalProtocolError

# The phone's side of RAS.  "confirm" and "reject" are signed answers to what is being
# asked; "doubt" is a GRJ that nobody signed; "expire" is the last try unanswered.
ENDPOINT = {
    ("idle", "ask"): "discovering",
    ("discovering", "confirm"): "registering",
    ("discovering", "reject"): "idle",
    ("discovering", "doubt"): "doubting",
    ("discovering", "next"): "discovering",
    ("discovering", "expire"): "idle",
    ("discovering", "stop"): "idle",
    ("doubting", "confirm"): "registering",
    ("doubting", "reject"): "idle",
    ("doubting", "believe"): "idle",
    ("doubting", "stop"): "idle",
    ("registering", "confirm"): "registered",
    ("registering", "reject"): "idle",
    ("registering", "next"): "discovering",
    ("registering", "expire"): "idle",
    ("registering", "stop"): "idle",
    ("registered", "refresh"): "refreshing",
    ("registered", "leave"): "leaving",
    ("registered", "released"): "idle",
    ("registered", "stop"): "idle",
    ("refreshing", "confirm"): "registered",
    ("refreshing", "reject"): "idle",
    ("refreshing", "expire"): "idle",
    ("refreshing", "leave"): "leaving",
    ("refreshing", "released"): "idle",
    ("refreshing", "stop"): "idle",
    ("leaving", "confirm"): "idle",
    ("leaving", "released"): "idle",
    ("leaving", "expire"): "idle",
    ("leaving", "stop"): "idle",
}

# A registration as the gatekeeper holds it; "releasing" awaits the UCF to a URQ of ours.
REGISTRATION = {
    ("registered", "refresh"): "registered",
    ("registered", "leave"): "ended",
    ("registered", "expire"): "ended",
    ("registered", "release"): "releasing",
    ("releasing", "confirm"): "ended",
    ("releasing", "leave"): "ended",
    ("releasing", "expire"): "ended",
}

# The phone as a whole (protocol.md section 6).  "stored" and "fresh" are registrations
# tried with keys of the store, and with keys fetched just now; "waiting" shows the prompt
# too, but goes back to the stored keys by itself after a while.  "renewing" is online, and
# fetches keys of the next generation beside it; "proving" registers with them, while the
# gatekeeper still holds the registration with the stored ones.
LOGIN = {
    ("off", "empty"): "prompting",
    ("off", "stored"): "stored",
    ("prompting", "entered"): "fetching",
    ("prompting", "log-out"): "prompting",
    ("waiting", "entered"): "fetching",
    ("waiting", "retry"): "stored",
    ("waiting", "log-out"): "prompting",
    ("fetching", "keys"): "fresh",
    ("fetching", "give-up"): "prompting",
    ("fetching", "wait"): "waiting",
    ("fetching", "log-out"): "prompting",
    ("stored", "registered"): "opening",
    ("stored", "fetch"): "fetching",
    ("stored", "give-up"): "prompting",
    ("stored", "wait"): "waiting",
    ("stored", "log-out"): "leaving",
    ("fresh", "registered"): "committing",
    ("fresh", "fetch"): "fetching",
    ("fresh", "give-up"): "prompting",
    ("fresh", "wait"): "waiting",
    ("fresh", "log-out"): "leaving",
    ("committing", "committed"): "opening",
    ("committing", "again"): "stored",
    ("committing", "give-up"): "prompting",
    ("committing", "log-out"): "leaving",
    ("opening", "open"): "online",
    ("opening", "failed"): "opening",
    ("opening", "again"): "stored",
    ("opening", "give-up"): "prompting",
    ("opening", "log-out"): "leaving",
    ("online", "closed"): "opening",
    ("online", "again"): "stored",
    ("online", "give-up"): "prompting",
    ("online", "log-out"): "leaving",
    ("online", "renew"): "renewing",
    ("renewing", "keys"): "proving",
    ("renewing", "stay"): "online",
    ("renewing", "closed"): "opening",
    ("renewing", "again"): "stored",
    ("renewing", "give-up"): "prompting",
    ("renewing", "log-out"): "leaving",
    ("proving", "registered"): "committing",
    ("proving", "back"): "stored",
    ("proving", "log-out"): "leaving",
    ("leaving", "left"): "prompting",
}


class Machine:
    """Where one machine is.  role: for the text of an error; state: str."""

    def __init__(self, role: str, table: "dict[tuple[str, str], str]", state: str) -> None:
        self.role = role
        self.state = state
        self._table = table

    def __repr__(self) -> str:
        return "Machine(%s, %s)" % (self.role, self.state)

    def allows(self, event: str) -> bool:
        """Tell whether `event` may happen now."""
        return (self.state, event) in self._table

    def feed(self, event: str) -> str:
        """Let `event` happen; return the new state, or raise LocalProtocolError."""
        state = self._table.get((self.state, event))
        if state is None:
            raise LocalProtocolError("%s: %s can not happen when %s" % (self.role, event, self.state))
        self.state = state
        return state
