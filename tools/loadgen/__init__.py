"""Simulated endpoints by the ten thousand, over real UDP sockets, against a running gatekeeper.

python -m loadgen --help        (PYTHONPATH=tools:firmware:host, or `make loadgen`)
"""
