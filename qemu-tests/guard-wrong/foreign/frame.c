#include "qemu-tests/guard/foreign/frame.c"
