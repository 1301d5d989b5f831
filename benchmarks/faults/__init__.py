"""Does the diagnosis name seeded faults?"""
