"""The reliability layer as a protocol engine, and a network simulator with labelled truth; see docs/simulator.md."""
