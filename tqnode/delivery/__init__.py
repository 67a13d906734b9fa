"""Carries the events of webhooks out of the node: signed, to public addresses only, within bounds."""
