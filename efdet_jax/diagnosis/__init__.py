"""What a detector does well and badly, in numbers: arrays in, arrays out."""
