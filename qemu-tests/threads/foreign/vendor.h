#include <stdbool.h>
#include <stdint.h>

#include "socle.h"

/* Computes until *stop is set, calling nothing. */
struct spin {
	volatile bool *stop;
	volatile unsigned long rounds;
	int64_t limit; /* ns, after which it gives up; then: */
	bool gave_up;
	socle_fn callback; /* NULL, or called every so many rounds */
	int calls, errors;
};
void spin(void *arg);	       /* a struct spin */
void spin_and_fail(void *arg); /* the same, then reads address 8 */
void spin_and_panic(void *arg);

/* Holds every register for so many rounds. kept: they were all as before. */
struct holding {
	unsigned long times;
	uint32_t seed;
	bool kept;
};
void hold_registers(void *holding);
