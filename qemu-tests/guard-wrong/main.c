#include "qemu-tests/guard/main.c"
