#include "frame.h"

void call_back_deep(void *calls)
{
	volatile char frame[64 << 10];

	__asm__ volatile("" : : "r"(frame) : "memory"); /* or the compiler makes it smaller */
	socle_callback(count, calls);
	__asm__ volatile("" : : "r"(frame) : "memory");
}
