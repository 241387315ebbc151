"""The library where people already are; each file imports the framework it is named after."""
