/* The host as a port: what arch.h asks of machine.h, as far as the code under test uses it. */
#ifndef SOCLE_MACHINE_H
#define SOCLE_MACHINE_H

#define PAGE_SIZE 4096
#define LEAF_CALL -2
#define REDIRECT_GAP 16
#define REDIRECT_ROOM 512
#define RAM_MAX (1ul << 47)

/* Nobody's under Linux, ASan and TSan alike: below where programs are loaded. */
#define ARENA_LO 0x550000000000ul
#define ARENA_HI 0x551000000000ul

#include <sched.h>

extern _Thread_local struct tcb *current_tcb; /* a host thread stands for a CPU */
static inline struct tcb *arch_tcb(void) { return current_tcb; }
static inline void arch_touch_stack(unsigned below) { (void)below; }
static inline void arch_pause(void) { sched_yield(); }
unsigned long arch_irq_disable(void);
void arch_irq_restore(unsigned long irq);

#define MAX_CPUS 16
extern _Thread_local unsigned current_cpu;
static inline unsigned arch_cpu(void) { return current_cpu; }

#endif
