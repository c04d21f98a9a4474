"""Which runs to buy next, so that the forecast of one target narrows most for its FLOPs; and when to stop."""
