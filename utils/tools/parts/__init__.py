"""What the tools consist of."""
