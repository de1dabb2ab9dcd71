"""The commands to look into the network with a library at hand: why, channels."""
