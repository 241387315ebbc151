"""The whole rescue, what it found, and handing the result back as a module."""
