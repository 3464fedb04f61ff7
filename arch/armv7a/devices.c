/*
 * The devices of an ARMv7-A board: PL011 UART, the generic timer, semihosting. Where they
 * are is the board's. Their registers are in Device memory, so accesses to one device stay in order by themselves.
 */
#include "arch/armv7a/cpu.h"

/* ---- UART: ARM DDI 0183 ---- */

#define UART(offset) (*device_register(BOARD_UART_BASE, offset))
enum {
	UART_DR = 0x00,
	UART_FR = 0x18,
	UART_IBRD = 0x24,
	UART_FBRD = 0x28,
	UART_LCRH = 0x2c,
	UART_CR = 0x30,
	UART_IMSC = 0x38,
};
enum {
	FR_BUSY = 1 << 3,
	FR_TX_FULL = 1 << 5,
	LCRH_FIFO = 1 << 4,
	LCRH_8_BITS = 3 << 5,
	CR_ENABLE = 1,
	CR_TX_RX = 3 << 8,
};

void uart_init(void)
{
	uint32_t divisor = (BOARD_UART_CLOCK * 4u + BOARD_UART_BAUD / 2) / BOARD_UART_BAUD; /* in 64ths of a 16th */

	if (UART(UART_CR) & CR_ENABLE)
		uart_flush(); /* the loader's last words */
	UART(UART_CR) = 0;
	UART(UART_IMSC) = 0;
	UART(UART_IBRD) = divisor >> 6;
	UART(UART_FBRD) = divisor & 0x3f;
	UART(UART_LCRH) = LCRH_8_BITS | LCRH_FIFO; /* after the divisors: it makes them take effect */
	UART(UART_CR) = CR_ENABLE | CR_TX_RX;
}

void uart_putc(char c)
{
	while (UART(UART_FR) & FR_TX_FULL)
		;
	UART(UART_DR) = (unsigned char)c;
}

void uart_flush(void)
{
	while (UART(UART_FR) & FR_BUSY)
		;
}

/* ---- Timer and clock: ARM ARM B8. The virtual timer, which needs no leave from a hypervisor ---- */

static struct {
	uint64_t base;				/* the counter when the clock started */
	uint32_t ns_whole, ns_fraction;		/* nanoseconds a count, and 2^-32ths of one */
	uint32_t counts_whole, counts_fraction; /* counts a nanosecond, rounded up: never early */
} clock;

static uint64_t read_counter(void)
{
	uint64_t count;

	/* ISB: else the counter may be read ahead of what the program did before (ARM ARM B8.1.2). */
	__asm__ volatile("isb\n\tmrrc p15, 1, %Q0, %R0, c14" : "=r"(count) : : "memory");
	return count;
}

/* n * (whole + fraction / 2^32), exact but for the last bit, no overflow unless the result's own. */
static uint64_t scale(uint64_t n, uint32_t whole, uint32_t fraction)
{
	return n * whole + (n >> 32) * fraction + ((n & 0xffffffff) * fraction >> 32);
}

void clock_init(void)
{
	uint32_t hz = CP15_READ(0, c14, c0, 0); /* CNTFRQ */
	uint64_t ns = hz == 0 ? 0 : ((uint64_t)1000000000 << 32) / hz;
	uint64_t counts = (((uint64_t)hz << 32) + 999999999) / 1000000000;

	if (hz == 0) {
		console_printf("socle: CNTFRQ is 0: the firmware did not say how fast the timer counts\n");
		kernel_exit(2);
	}
	clock.ns_whole = ns >> 32;
	clock.ns_fraction = (uint32_t)ns;
	clock.counts_whole = counts >> 32;
	clock.counts_fraction = (uint32_t)counts;
	timer_control(TIMER_OFF); /* whatever the loader had set */
	clock.base = read_counter();
}

static int64_t time_at(uint64_t count) { return (int64_t)scale(count - clock.base, clock.ns_whole, clock.ns_fraction); }

int64_t clock_now(void) { return time_at(read_counter()); }

void timer_set(int64_t deadline)
{
	uint64_t count;
	int64_t left;

	if (deadline == INT64_MAX) {
		timer_control(TIMER_OFF);
		return;
	}
	/* From now, not from boot: so the scale's rounding counts for the wait alone. One more for the part-counts. */
	count = read_counter();
	left = deadline - time_at(count);
	if (left > 0)
		count += scale((uint64_t)left, clock.counts_whole, clock.counts_fraction) + 1;
	__asm__ volatile("mcrr p15, 3, %Q0, %R0, c14" : : "r"(count) : "memory"); /* CNTV_CVAL */
	timer_control(TIMER_ON);
}

/* ---- The end ---- */

static bool exiting;

bool machine_is_exiting(void) { return exiting; }

/* Semihosting's SYS_EXIT_EXTENDED: the reason ADP_Stopped_ApplicationExit, and a status. */
static void semihosting_exit(uint32_t status)
{
	uint32_t block[2] = {0x20026, status};
	register uint32_t operation __asm__("r0") = 0x20;
	register uint32_t *parameter __asm__("r1") = block;

	__asm__ volatile("svc 0x123456" : "+r"(operation) : "r"(parameter) : "r2", "r3", "r12", "lr", "memory");
}

void machine_exit(int status)
{
	__asm__ volatile("cpsid aif" : : : "memory");
	exiting = true;
	if (BOARD_SEMIHOSTING)
		semihosting_exit((uint32_t)status);
	for (;;)
		__asm__ volatile("dsb\n\twfi");
}
