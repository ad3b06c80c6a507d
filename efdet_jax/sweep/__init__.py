"""Many runs that end in a curve: what to run, running it anywhere, what came of it."""
