"""Encoders: texts in, one vector a text out."""

from ._rcpt import RCPTEncoder

__all__ = ["RCPTEncoder"]
