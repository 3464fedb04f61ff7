#include "socle.h"

extern int init_calls, init_error;
void call_back_from_foreign(void *fn);
