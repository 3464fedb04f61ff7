#include "vendor.h"

FRAME void vendor_inner(void *level)
{
	volatile char frame[5000];

	frame[0] = 0;
	socle_callback(first_callback, level);
	frame[1] = 0;
}

FRAME void vendor_entry(void *level) { vendor_inner(level); }
