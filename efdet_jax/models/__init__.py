"""The networks: backbones, necks, heads and the detector made of them."""
