#ifndef FRAME_H
#define FRAME_H

#include "socle.h"

/* Calls back from under a frame of 64 KiB. */
void call_back_deep(void *calls);
void count(void *calls); /* the callback: goroutine code */

#endif
