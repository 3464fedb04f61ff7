/* Both ports' machine.h have one of these in struct cpu_local. */
#ifndef SOCLE_X86_REDIRECT_H
#define SOCLE_X86_REDIRECT_H

#include <stdint.h>

/* What arch_redirect() wants done, for trap_redirected() in trap.S. */
struct redirect {
	void (*fn)(void *);
	void *arg;
	uintptr_t sp;		     /* to call fn on */
	uintptr_t pc, old_sp, flags; /* where to go on if fn returns */
	uintptr_t use_xsave;	     /* FXSAVE does not save all there is */
};

#endif
