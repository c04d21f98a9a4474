"""The live dashboard: what a store says right now, in the browser. Nothing is written, nothing leaves the machine."""
