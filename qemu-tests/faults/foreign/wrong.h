#ifndef WRONG_H
#define WRONG_H

#include "socle.h"

/* Foreign routines that go wrong in one way each. The argument is not used, but where it says so. */
void read_null(void *unused);
void passes_wild_pointer(void *unused); /* to the runtime, which then fails for it */
void fails_with_lock(void *unused);	/* of the C library's malloc */
void write_wild(void *unused);
void write_text(void *unused);
void write_constant(void *unused);
void jump_nowhere(void *unused);
void execute_data(void *unused);
void divide_by_zero(void *unused);
void undefined_instruction(void *unused);
void overflow_by_recursion(void *unused);
void overflow_in_runtime(
	void *bytes);		     /* size_t: of a frame each level, and the deepest calls are of Socle's functions */
void overflow_by_frame(void *bytes); /* size_t: one frame of this size, touched from its far end */

#endif
