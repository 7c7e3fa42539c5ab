"""Engines: who computes. A stage speaks to the protocol, never to a vendor."""
