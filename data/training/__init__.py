"""Training samples: crops, flow pairs, and the endless loader."""
