#include "socle.h"

#define FRAME __attribute__((noinline, disable_tail_calls))

FRAME void vendor_entry(void *level);
FRAME void first_callback(void *level);
FRAME void first_call(void *level);
