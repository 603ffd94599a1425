"""The accelerator as hardware: generated RTL, its programs, simulation, synthesis. Needs the extra `rtl` (Amaranth)."""
