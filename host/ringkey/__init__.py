"""ringkey on the hosts: key server, gatekeeper, site and command line around the core in `ras`.

docs/architecture.md says what each package may hold and import.
"""

__version__ = "0.1.0"
