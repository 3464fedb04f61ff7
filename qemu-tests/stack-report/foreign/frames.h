#ifndef FRAMES_H
#define FRAMES_H

#include "socle.h"

extern socle_fn called_back;
extern const socle_fn hidden; /* a static function: only a run can tell that it is an entry */

void chain(void *arg);
void tail(void *arg);
void tabled(void *arg);
void red_zone(void *arg);
void recursive(void *levels);
void by_pointer(void *arg);
void by_alloca(void *bytes);
void calls_back(void *arg);
void faults(void *arg);
void never_called(void *arg);

#endif
