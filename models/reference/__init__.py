"""The paper's network and training step in the paper's order, without any optimisation."""
