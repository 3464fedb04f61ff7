#ifndef VENDOR_H
#define VENDOR_H

#include <stdint.h>

#include "fiber_lib.h"
#include "socle.h"

enum { STACK = 32 << 10, FIBERS = 3 };
extern char stacks[FIBERS][STACK]; /* next to each other */
extern struct coroutine coroutines[FIBERS];

/* A foreign call that runs one coroutine on each of the stacks in turn, until all have ended. Each calls back so many
 * times, suspending itself in between, under a frame of 4 KiB. */
struct job {
	socle_fn callback;
	int times;
	int calls, errors[FIBERS]; /* errno's of callbacks that were refused */
	int broken;		   /* frames that were not as they were left */
	bool called_at_end;	   /* by a callback from the stack where it all began */
};
void run_fibers(void *job);

void run_one_fiber(void *job); /* on the first stack only */

/* Starts coroutine n, from within whatever runs, and lets it call back once. */
struct step {
	int fiber;
	socle_fn callback;
	int error;
};
void run_step(void *step);

/* Calls what is public and does not call back, from the first stack. */
struct everything {
	struct socle_mutex mutex; /* locked by the caller, with somebody waiting */
	socle_chan *chan;
	struct socle_rwlock rwlock;
	struct socle_cond cond;
	struct socle_waitgroup waitgroup;
	struct socle_once once;
	struct socle_sem sem;
	bool thread_ran; /* a foreign thread that it starts */
	int tried;
	bool wrong[32]; /* was not what socle.h says */
};
void everything_on_fiber(void *everything);

void spin_on_fiber(void *stop);	 /* on the first: until *(volatile bool *)stop, at most a second */
void lock_on_fiber(void *mutex); /* a pthread_mutex_t */
void fail_on_fiber(void *unused);
void panic_on_fiber(void *unused);
void call_back_deep(void *job); /* with less than 5 KiB left */

/* What foreign code must not do. */
void leave_by_longjmp(void *unused);
void jump(void *unused);		   /* out of the callback that calls it as foreign code */
void leave_by_own_longjmp(void *callback); /* which jumps itself */
void longjmp_and_call_back(void *unused);
void longjmp_and_fail(void *unused);
void suspend_in_callback(void *unused); /* the first fiber's callback is left, by a switch, for the caller to return */
void resume_resumer(void *unused);

#endif
