"""Independent references for the standard library: plain torch, written from the papers, and packages of other authors."""
