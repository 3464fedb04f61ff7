/* What pthread.c and pthread_sync.c share. */
#ifndef SOCLE_PTHREADS_H
#define SOCLE_PTHREADS_H

#include <pthread.h>

#include "runtime/runtime.h"

enum { PTHREAD_PLACES = 4096 }; /* of records in their table; 0 stays free */

extern struct spin_lock pthreads; /* guards all of it */

/* ---- pthread.c ---- */

unsigned pthread_place(bool make); /* of the caller's record; 0: there is none, and none is to be made */

/* ---- pthread_sync.c ---- */

/* fn(a, b), which may have to wait, or to make something: as foreign code, on a stack that is known. */
int in_foreign_code(int (*fn)(void *a, void *b), void *a, void *b);
void pthreads_wait(const void *on, const char *why); /* pthreads held, but let go of meanwhile */
void pthreads_wake(const void *on);		     /* all; pthreads held */

#endif
