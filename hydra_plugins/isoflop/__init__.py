"""The bridge to Hydra: finds our sweeper. The logic is in sweep/."""
