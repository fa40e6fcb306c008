"""The decode held against other witnesses: the kernels' traces, tshark, and itself under every rearrangement."""
