"""What an editor asks of archc. `server` speaks the protocol; every answer is a plain function of an `analysis.Analysis`."""
