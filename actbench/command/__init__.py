"""The command line: parsing, suggestions, planning and starting of jobs, help and listings. Only here is Hydra used."""
