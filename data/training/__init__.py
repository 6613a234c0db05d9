"""What training learns from: crops, flow pairs, and the endless loader."""
