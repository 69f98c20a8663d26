"""Tables, curves and figures over many runs."""
