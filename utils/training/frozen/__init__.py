"""Training of networks that are frozen when a correction network is trained by them."""
