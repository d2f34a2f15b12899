"""What a phone does with its store, and tells of it.  In the heap only while that lasts."""

from phone.store import Store, StoreError


def load(slots: object) -> "tuple[object, str]":
    """Return (Record or None, the store's state) of a board's slots."""
    store = Store(slots)
    record = store.load()
    return record, store.state


def commit(slots: object, record: object, events: object) -> bool:
    """Write the record whole; tell whether it is there."""
    try:
        Store(slots).commit(record)
    except StoreError:
        events.tell("commit", ok=False)
        return False
    events.tell("commit", ok=True)
    return True


def erase(slots: object, events: object) -> bool:
    """Empty the store; tell whether it is."""
    try:
        Store(slots).erase()
    except StoreError:
        events.tell("erase", ok=False)
        return False
    events.tell("erase", ok=True)
    return True
