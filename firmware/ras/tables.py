"""The state machines as tables: for each state, what may happen in it and the state after that.

A line is a state, then what may happen in it, each with ">" and the state after it.  They are texts
since a phone's heap has no room for a hundred small objects.

One `Machine` runs any of them and does not know which side it plays.  What is not in a
table can not happen: an event of our own making without an entry is a LocalProtocolError
that names event, role and state; for a message, ask `allows` first and drop it if not.
"""

from ras.errors import LocalProtocolError

# The phone's side of RAS.  "confirm" and "reject" are signed answers to what is being
# asked; "doubt" is a GRJ that nobody signed; "expire" is the last try unanswered.
ENDPOINT = """
idle ask>discovering
discovering confirm>registering reject>idle doubt>doubting next>discovering expire>idle stop>idle
doubting confirm>registering reject>idle believe>idle stop>idle
registering confirm>registered reject>idle next>discovering expire>idle stop>idle
registered refresh>refreshing leave>leaving released>idle stop>idle
refreshing confirm>registered reject>idle expire>idle leave>leaving released>idle stop>idle
leaving confirm>idle released>idle expire>idle stop>idle
"""

# A registration as the gatekeeper holds it; "releasing" awaits the UCF to a URQ of ours.
REGISTRATION = """
registered refresh>registered leave>ended expire>ended release>releasing
releasing confirm>ended leave>ended expire>ended
"""

# The phone as a whole (protocol.md section 6).  "stored" and "fresh" are registrations
# tried with keys of the store, and with keys fetched just now; "waiting" shows the prompt
# too, but goes back to the stored keys by itself after a while.  "renewing" is online, and
# fetches keys of the next generation beside it; "proving" registers with them, while the
# gatekeeper still holds the registration with the stored ones.
LOGIN = """
off empty>prompting stored>stored
prompting entered>fetching log-out>prompting
waiting entered>fetching retry>stored log-out>prompting
fetching keys>fresh give-up>prompting wait>waiting log-out>prompting
stored registered>opening fetch>fetching give-up>prompting wait>waiting log-out>leaving
fresh registered>committing fetch>fetching give-up>prompting wait>waiting log-out>leaving
committing committed>opening again>stored give-up>prompting log-out>leaving
opening open>online failed>opening again>stored give-up>prompting log-out>leaving
online closed>opening again>stored give-up>prompting log-out>leaving renew>renewing
renewing keys>proving stay>online closed>opening again>stored give-up>prompting log-out>leaving
proving registered>committing back>stored log-out>leaving
leaving left>prompting
"""


class Machine:
    """Where one machine is.  role: for the text of an error; state: str."""

    def __init__(self, role: str, table: str, state: str) -> None:
        self.role = role
        self.state = state
        self._table = table

    def __repr__(self) -> str:
        return "Machine(%s, %s)" % (self.role, self.state)

    def allows(self, event: str) -> bool:
        """Tell whether `event` may happen now."""
        return self._after(event) is not None

    def feed(self, event: str) -> str:
        """Let `event` happen; return the new state, or raise LocalProtocolError."""
        after = self._after(event)
        if after is None:
            raise LocalProtocolError("%s: %s can not happen when %s" % (self.role, event, self.state))
        self.state = after
        return after

    def _after(self, event: str) -> "str | None":
        table = self._table
        begin = table.find("\n%s " % self.state)
        if begin < 0:
            return None
        end = table.find("\n", begin + 1)
        at = table.find(" %s>" % event, begin, end)
        if at < 0:
            return None
        at += len(event) + 2
        space = table.find(" ", at, end)
        return table[at : end if space < 0 else space]
