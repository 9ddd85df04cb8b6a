"""How each kind of window keeps its panes: one file a kind."""
