"""What a person wants to know at a glance."""

ACTIONS = ()
QUERIES = ()
