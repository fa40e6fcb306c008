"""Other witnesses of the same captures: the kernels' own traces and logs, and tshark."""
