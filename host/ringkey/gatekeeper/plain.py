"""Which H.323 endpoints without the profile a site lets in (docs/gatekeeper-silence.md)."""

import ipaddress

from ringkey import log
from ringkey.gatekeeper.directory import Directory
from ringkey.gatekeeper.errors import DirectoryError
from ringkey.gatekeeper.record import Budget
from ringkey.site.plain_table import PlainConfig


class Policy:
    """What `ras.policy.Settings` has as `plain`: networks and extensions of a site, less its directory's.

    budget: of lines about strangers.
    """

    def __init__(self, config: PlainConfig, directory: Directory, budget: Budget) -> None:
        self._networks = config.networks
        self._extensions = config.extensions
        self._directory = directory
        self._budget = budget
        self._log = log.get("ringkey.gatekeeper.plain")

    def allows(self, ext: str | None, host: str) -> bool:
        """Tell whether an endpoint there may have an extension; None: whether any may.

        One of the directory has a PIN, disabled or not, and is its phone's.  While the directory cannot be
        read, each may be one.
        """
        try:
            address = ipaddress.IPv4Address(host)
        except ValueError:
            return False
        if not any(address in network for network in self._networks):
            return False
        if ext is None:
            return True
        if ext not in self._extensions:
            return False
        try:
            return self._directory.get_entry(ext) is None
        except DirectoryError as error:
            if self._budget.allows():
                self._log.error("directory_failed", ext=ext, reason=error.what, next_step=error.next_step)
            return False
