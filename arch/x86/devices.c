/*
 * The PC's devices. Console: a 16550 at COM1, polled. Clock: the time stamp counter, from the moment start.S read it.
 * Timer: the local APIC's, one shot at a time. Their frequencies come from CPUID where it knows them; else both are
 * measured against the 8254, whose frequency everybody knows, when the time is first asked for: not at boot, which
 * would be 10 ms later for it. All three are read together at both ends, as nearly at once as it gets: to wait for
 * an end instead would make every disturbance (SMM, the host) part of the result.
 *
 * Scaling is one multiplication by a 32.32 fixed-point ratio: nothing to divide, nothing to overflow for 292 years,
 * and 1 part in 10^9 off at most. Rejected: the APIC's TSC deadline mode (not in QEMU), HPET (not in every PC), the
 * 8254 as timer (a microsecond or more for each port access).
 */
#include "arch/x86/x86.h"
#include "board.h"

/* ---- UART ---- */

enum { UART_DATA = 0, UART_IER = 1, UART_FCR = 2, UART_LCR = 3, UART_MCR = 4, UART_LSR = 5 };
enum { LCR_8N1 = 3, LCR_DIVISOR = 0x80, LSR_READY = 0x20, LSR_IDLE = 0x40 };

void uart_init(void)
{
	outb(BOARD_COM1 + UART_IER, 0);
	outb(BOARD_COM1 + UART_LCR, LCR_DIVISOR);
	outb(BOARD_COM1 + UART_DATA, 1); /* 115200 baud */
	outb(BOARD_COM1 + UART_IER, 0);
	outb(BOARD_COM1 + UART_LCR, LCR_8N1);
	outb(BOARD_COM1 + UART_FCR, 0xc7); /* FIFOs on and empty */
	outb(BOARD_COM1 + UART_MCR, 3);	   /* we are here: DTR, RTS */
}

/* Where there is no UART, reads give ones, which says ready. */
void uart_putc(char c)
{
	while (!(inb(BOARD_COM1 + UART_LSR) & LSR_READY))
		__builtin_ia32_pause();
	outb(BOARD_COM1 + UART_DATA, c);
}

void uart_flush(void)
{
	while (!(inb(BOARD_COM1 + UART_LSR) & LSR_IDLE))
		__builtin_ia32_pause();
}

/* QEMU ends here, with (status << 1) | 1. A real machine has nothing at that port and stays. */
void machine_exit(int status)
{
	interrupts_off();
	uart_flush();
	outl(BOARD_DEBUG_EXIT, status);
	arch_stop();
}

/* ---- Interrupt controllers ---- */

/* Away from the exceptions' vectors, then masked. */
static void pic_stop(void)
{
	static const uint8_t setup[][2] = {{0x11, 0x11}, {VECTOR_PIC, VECTOR_PIC + 8}, {4, 2}, {1, 1}, {0xff, 0xff}};

	for (unsigned i = 0; i < sizeof setup / sizeof setup[0]; i++) {
		outb(BOARD_PIC1 + (i > 0), setup[i][0]);
		outb(BOARD_PIC2 + (i > 0), setup[i][1]);
	}
}

void irq_start(void)
{
	pic_stop();
	apic_start();
}

/* ---- Clock ---- */

enum { NS = 1000000000 };

uint64_t boot_tsc;
static uint64_t ns_per_tsc, ticks_per_ns; /* 32.32 fixed point; 0: not known yet */

/* a * ratio / 2^32, where the result fits. The same on i386, in three multiplications of 32 bits and one of 64. */
static uint64_t scale(uint64_t a, uint64_t ratio)
{
	uint32_t high = a >> 32, low = a, ratio_high = ratio >> 32, ratio_low = ratio;

	return high * ratio + (uint64_t)low * ratio_high + ((uint64_t)low * ratio_low >> 32);
}

#pragma clang attribute push(__attribute__((minsize)), apply_to = function) /* once */

struct counts {
	uint64_t tsc;
	uint32_t timer, pit; /* these two count down */
};

/* The three at one moment. Of four tries the one that was disturbed least. */
static struct counts read_counts(void)
{
	struct counts best = {0};
	uint64_t least = ~0ull;

	for (int i = 0; i < 4; i++) {
		uint64_t start = read_tsc(), taken;
		uint32_t timer = apic_read(APIC_TIMER_CURRENT), pit;

		outb(BOARD_PIT + 3, 0x80); /* channel 2: hold the count for the two reads */
		taken = read_tsc() - start;
		pit = inb(BOARD_PIT + 2);
		pit |= (uint32_t)inb(BOARD_PIT + 2) << 8;
		if (taken < least) {
			least = taken;
			best = (struct counts){start + taken / 2, timer, pit};
		}
	}
	return best;
}

/* How far the three count in some 10 ms. */
static struct counts measure(void)
{
	struct counts start, end;
	unsigned tries = 1u << 18;

	apic_write(APIC_LVT_TIMER, LVT_MASKED);
	apic_write(APIC_TIMER_INITIAL, ~0u);
	outb(BOARD_PORT_B, (inb(BOARD_PORT_B) & ~3) | 1); /* speaker off, channel 2 counts */
	outb(BOARD_PIT + 3, 0xb0);			  /* channel 2, mode 0: down from 65535, 55 ms */
	outb(BOARD_PIT + 2, 0xff);
	outb(BOARD_PIT + 2, 0xff);
	read_counts(); /* the 8254 begins with its next clock pulse, not with the write */
	start = read_counts();
	do {
		ASSERT(--tries, "no 8254 to measure the clock with");
		end = read_counts();
	} while (start.pit - end.pit < BOARD_PIT_HZ / 100);
	apic_start();
	return (struct counts){end.tsc - start.tsc, start.timer - end.timer, start.pit - end.pit};
}

static struct counts measure_frequencies(void)
{
	struct counts run;
	unsigned tries = 10;

	do {
		ASSERT(tries--, "the clock cannot be measured: the 8254 runs out each time");
		run = measure();
	} while (inb(BOARD_PORT_B) & 0x20); /* up: more than 55 ms are gone, and the count has wrapped */
	return (struct counts){run.tsc * BOARD_PIT_HZ / run.pit, (uint64_t)run.timer * BOARD_PIT_HZ / run.pit, 0};
}

/* SDM 3, 18.7.3: leaf 0x15 has the crystal's frequency (or 0) and what the TSC makes of it; the timer runs on the
 * crystal too (10.5.4). */
static struct counts find_frequencies(void)
{
	struct cpuid leaf = {0};

	if (cpuid(0, 0).a >= 0x15)
		leaf = cpuid(0x15, 0);
	if (leaf.a && leaf.b && leaf.c)
		return (struct counts){(uint64_t)leaf.c * leaf.b / leaf.a, leaf.c, 0};
	return measure_frequencies();
}

static __attribute__((noinline)) void calibrate(void)
{
	uintptr_t flags = arch_irq_disable();
	struct counts hz;

	apic_start(); /* the time may be asked for before arch_start() */
	hz = find_frequencies();
	ASSERT(hz.tsc && hz.timer, "the clock stands still");
	ticks_per_ns = ((uint64_t)hz.timer << 32) / NS;
	ns_per_tsc = ((uint64_t)NS << 32) / hz.tsc;
	arch_irq_restore(flags);
}

#pragma clang attribute pop

int64_t clock_now(void)
{
	if (ns_per_tsc == 0)
		calibrate();
	return scale(read_tsc() - LOCAL->boot_tsc, ns_per_tsc);
}

/* ---- Timer ---- */

/* The counter has 32 bits, so it goes a second at most. An interrupt for a deadline that has been replaced since may still
 * come in. Both are ticks that come early. */
void timer_set(int64_t deadline)
{
	uint32_t count = 0; /* stops it */

	if (deadline != INT64_MAX) {
		int64_t left = deadline - clock_now();
		uint32_t ns = left < 0 ? 0 : left > NS ? NS : (uint32_t)left;

		count = scale(ns, ticks_per_ns) + 1;
	}
	apic_write(APIC_TIMER_INITIAL, count);
}

static __attribute__((noinline)) void other_interrupt(unsigned vector, struct trap *t)
{
	apic_write(APIC_EOI, 0);
	if (vector == VECTOR_INTERRUPT)
		kernel_interrupt(t);
	else
		shootdown_answer();
}

/* A spurious interrupt is not to be acknowledged (SDM 3, 10.9); the 8259s' cannot come, being cut off. */
void irq_dispatch(unsigned vector, struct trap *t)
{
	if (vector == VECTOR_TIMER) {
		apic_write(APIC_EOI, 0);
		kernel_tick(t);
	} else if (vector == VECTOR_INTERRUPT || vector == VECTOR_SHOOTDOWN) {
		other_interrupt(vector, t);
	}
}
