"""Announce services on the local network, and hear of those of others."""
