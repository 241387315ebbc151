"""From a network, a run or a frozen backbone to features: in memory, or in a folder of chunks."""
