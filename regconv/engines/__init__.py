"""How a torch network is run: each engine takes normalised pixels and hands out named tensors."""
