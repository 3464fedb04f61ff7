#include "fiber_lib.h"

#include <stdint.h>

void coroutine_swap(void **save_sp, void *load_sp);
void coroutine_entry(void);

/* Callee-saved registers on the old stack, the same off the new one. */
#ifdef __x86_64__
enum { SAVED = 6 };
__asm__(".globl coroutine_swap\ncoroutine_swap:\n\t"
	"pushq %rbp\n\tpushq %rbx\n\tpushq %r12\n\tpushq %r13\n\tpushq %r14\n\tpushq %r15\n\t"
	"movq %rsp, (%rdi)\n\tmovq %rsi, %rsp\n\t"
	"popq %r15\n\tpopq %r14\n\tpopq %r13\n\tpopq %r12\n\tpopq %rbx\n\tpopq %rbp\n\tret\n"
	"coroutine_entry:\n\tmovq %rbx, %rdi\n\tcallq coroutine_run\n\tud2\n");
#elif defined __i386__
enum { SAVED = 4 };
__asm__(".globl coroutine_swap\ncoroutine_swap:\n\t"
	"movl 4(%esp), %eax\n\tmovl 8(%esp), %ecx\n\t"
	"pushl %ebp\n\tpushl %edi\n\tpushl %esi\n\tpushl %ebx\n\t"
	"movl %esp, (%eax)\n\tmovl %ecx, %esp\n\t"
	"popl %ebx\n\tpopl %esi\n\tpopl %edi\n\tpopl %ebp\n\tret\n"
	"coroutine_entry:\n\tsubl $12, %esp\n\tpushl %ebx\n\tcalll coroutine_run\n\tud2\n");
#else
enum { SAVED = 8 + 16 };
__asm__(".globl coroutine_swap\ncoroutine_swap:\n\t"
	"push {r4-r11, lr}\n\tsub sp, sp, #4\n\tvpush {d8-d15}\n\t"
	"str sp, [r0]\n\tmov sp, r1\n\t"
	"vpop {d8-d15}\n\tadd sp, sp, #4\n\tpop {r4-r11, pc}\n"
	"coroutine_entry:\n\tmov r0, r4\n\tbl coroutine_run\n\tudf #0\n");
#endif

void coroutine_run(struct coroutine *self)
{
	self->fn(self);
	self->ended = true;
	coroutine_suspend(self);
}

void coroutine_make(struct coroutine *c, void *stack, size_t size, void (*fn)(struct coroutine *self), void *arg)
{
	uintptr_t *top = (uintptr_t *)(((uintptr_t)stack + size) & ~(uintptr_t)15);

#ifdef __x86_64__
	top--; /* RET leaves RSP at the boundary */
	*top = (uintptr_t)coroutine_entry;
	top -= SAVED;
	for (int i = 0; i < SAVED; i++)
		top[i] = 0;
	top[4] = (uintptr_t)c; /* RBX */
#elif defined __i386__
	top -= 4;
	top[-1] = (uintptr_t)coroutine_entry; /* RET leaves ESP at the boundary */
	top -= 1 + SAVED;
	for (int i = 0; i < SAVED; i++)
		top[i] = 0;
	top[0] = (uintptr_t)c; /* EBX */
#else
	top -= 2 + SAVED + 2;
	for (int i = 0; i < SAVED + 2; i++)
		top[i] = 0;
	top[17] = (uintptr_t)c; /* r4, above d8-d15 and a word */
	top[25] = (uintptr_t)coroutine_entry;
#endif
	*c = (struct coroutine){.sp = top, .fn = fn, .arg = arg};
}

void coroutine_switch(struct coroutine *from, struct coroutine *to) { coroutine_swap(&from->sp, to->sp); }

void coroutine_resume(struct coroutine *c)
{
	struct coroutine here = {0};

	c->resumer = &here;
	coroutine_switch(&here, c);
}

void coroutine_suspend(struct coroutine *self) { coroutine_switch(self, self->resumer); }
