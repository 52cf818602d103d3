"""What exports have in common.

- `job`: what is to be written (Job) and what came of it (Export)
- `quoting`: words for POSIX shells, YAML and systemd, and comments
- `containers`: GPUs, ports and memory policies of a container
"""
