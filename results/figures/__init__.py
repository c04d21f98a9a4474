"""The figures, one file each: pure functions from records, fits and outcomes to plotly.graph_objects.Figure."""
