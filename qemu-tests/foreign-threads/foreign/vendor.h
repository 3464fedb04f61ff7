#include <stdbool.h>
#include <stdint.h>

#include "socle.h"

/* A thread that calls back so many times, and then once more to say that it is done. */
struct caller {
	socle_fn fn, done;
	void *arg; /* fn's */
	int times, errors;
};
void call_back(void *caller);

void read_null(void *unused);
void call_back_once(void *fn); /* the address of a socle_fn, called with it */

/* A thread that fills so many bytes of its stack, tells where that is, and how a callback fares below them. */
struct filler {
	size_t bytes;
	socle_fn fn, done;
	uintptr_t lo, hi;
	int result, error;
	bool kept;
};
void fill_stack(void *filler);

/* A thread that keeps a value of its own in errno, and uses the C library, while others do. */
struct worker {
	socle_fn fn, done;
	int value, rounds, errors;
};
void work(void *worker);

/* A thread that computes until *stop. */
struct spinner {
	socle_fn done;
	volatile bool *stop;
	volatile unsigned long rounds;
};
void spin(void *spinner);

/* A thread that holds every vector and floating-point register for so many rounds. */
struct holder {
	socle_fn done;
	unsigned long times;
	unsigned char seed;
	bool kept;
};
void hold_registers(void *holder);

void overflow(void *unused); /* of its stack */
void starts_another(void *caller);
