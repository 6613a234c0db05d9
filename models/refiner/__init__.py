"""The default network: the classical motion, refined."""
