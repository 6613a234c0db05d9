"""Networks, warps and objectives of dual reversed rolling-shutter correction."""
