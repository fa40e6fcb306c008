"""Dissector and trace analyser for the Linux kernel's Distributed Lock Manager protocol."""

__version__ = "0.1.0"
