"""Many runs at once: grids of settings, galleries of named problems."""
