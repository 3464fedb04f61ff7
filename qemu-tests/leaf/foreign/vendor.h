#include <stdbool.h>

#include "socle.h"

void add_one(void *n);
void stack_address(void *out);	   /* a uintptr_t */
void spin_until(void *stop);	   /* *(volatile bool *)stop, a second at most */
void spin_and_fail(void *stop);	   /* the same, then reads address 8 */
void recurse(void *unused);	   /* off the end of the stack */
void trash_and_fail(void *unused); /* every callee-saved register, then reads address 8 */
void divide(void *unused);
void calls_back(void *fn);
void panics(void *unused);
void nests(void *result); /* an int: what a second call of the kind comes to, and errno */
