"""The compiled measuring kernels (C, one shared library) and their thin binding."""
