"""SelfDRSC++: its network, the interpolator, and rebuilding by it."""
