"""What is raised when a file of market data is not what it should be."""


class DataError(ValueError):
    """A data file has a fault: names the file, the line, the value and the remedy."""
