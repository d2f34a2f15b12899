"""What a phone tells where its events are off: nothing.  Not loaded where they are on."""


class Silence:
    """In the place of phone.events.Events where events are off."""

    on = False

    def tell(self, event: str, **members: object) -> None:
        pass
