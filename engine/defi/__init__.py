"""The systems around the exchange: pools, lending, issuers, oracles, contagion."""
