"""The methods of correction that options can name; needs no PyTorch.

To add one, write a function (options, device) -> `utils.correction.NamedCorrection` and add
a line to `METHODS`.
"""

METHODS: dict[str, str] = {
    "network": "utils.correction:load_network_method",
    "classical": "utils.correction:load_classical_method",
}
"""Function that loads each method, "module:name", by the value of the option `method`."""
