"""The browser: a frame list, the fields of a frame, and its bytes, for captures of any size."""
