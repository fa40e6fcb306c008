"""The findings: what each code of `dlmtrace analyze` means, and which of them the user wants to see."""
