/*
 * The console: a printf small enough for trap handlers. newlib's needs locks, memory and 1.5 KiB of stack; a report
 * that is printed because one of those is broken must need none of them.
 *
 * What one call prints is not mixed with what other CPUs print. Interrupts stay on meanwhile, as a line takes a UART
 * milliseconds: a handler that prints inside a line of its own CPU's just does, and so does who ends the image.
 */
#include "kernel/kernel.h"
#include "kernel/lock.h"

#pragma clang attribute push(__attribute__((minsize)), apply_to = function) /* the UART is slow enough */

static atomic_uint owner; /* the CPU that prints, + 1; 0: nobody */

/* False: there is nothing to give back. A thread does not change CPUs in the kernel. */
static bool take_console(void)
{
	unsigned me = arch_cpu() + 1, nobody = 0;

	if (kernel_is_ending() || atomic_load_explicit(&owner, memory_order_relaxed) == me)
		return false;
	kernel_poll_stop(); /* nothing else reaches a CPU of ARM that masks interrupts */
	/* Acquire pairs with give_console's release: bytes in their order. */
	while (!atomic_compare_exchange_weak_explicit(&owner, &nobody, me, memory_order_acquire,
						      memory_order_relaxed)) {
		nobody = 0;
		kernel_poll_stop();
		arch_pause();
	}
	return true;
}

static void give_console(bool taken)
{
	if (taken)
		atomic_store_explicit(&owner, 0, memory_order_release);
}

static void put(const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] == '\n')
			uart_putc('\r');
		uart_putc(bytes[i]);
	}
}

void console_write(const char *bytes, size_t n)
{
	bool taken = take_console();

	put(bytes, n);
	give_console(taken);
}

struct format {
	bool left, zero;
	int width;
};

static void pad(char c, int n)
{
	while (n-- > 0)
		put(&c, 1);
}

static void put_field(const struct format *f, const char *text, int n)
{
	if (!f->left)
		pad(f->zero ? '0' : ' ', f->width - n);
	put(text, (size_t)n);
	if (f->left)
		pad(' ', f->width - n);
}

static void put_string(const struct format *f, const char *s)
{
	int n = 0;

	if (s == NULL)
		s = "(null)";
	while (s[n] != '\0')
		n++;
	put_field(f, s, n);
}

/* Long division by a small base, 16 bits at a time: no libgcc in a trap handler. */
static unsigned divide(uint64_t *value, unsigned base)
{
	uint64_t quotient = 0;
	uint32_t rest = 0;

	for (int i = 0; i < 4; i++) {
		uint32_t part = rest << 16 | (uint32_t)(*value >> 48);

		*value <<= 16;
		quotient = quotient << 16 | part / base;
		rest = part % base;
	}
	*value = quotient;
	return rest;
}

static void put_number(const struct format *f, uint64_t value, unsigned base, bool negative)
{
	char digits[24];
	int at = sizeof digits;

	do
		digits[--at] = "0123456789abcdef"[divide(&value, base)];
	while (value != 0);
	if (negative)
		digits[--at] = '-';
	put_field(f, digits + at, (int)sizeof digits - at);
}

/* 'l' counts; 'z' is a long on every target of ours. */
static uint64_t next_number(va_list *args, int longs, bool is_signed)
{
	if (longs >= 2)
		return va_arg(*args, uint64_t);
	if (longs == 1)
		return is_signed ? (uint64_t)va_arg(*args, long) : va_arg(*args, unsigned long);
	return is_signed ? (uint64_t)va_arg(*args, int) : va_arg(*args, unsigned);
}

static void put_conversion(const struct format *f, char conversion, int longs, va_list *args)
{
	struct format pointer = {.zero = true, .width = 2 * sizeof(void *)};
	int64_t number;
	char c;

	switch (conversion) {
	case 's': put_string(f, va_arg(*args, const char *)); break;
	case 'c':
		c = (char)va_arg(*args, int);
		put_field(f, &c, 1);
		break;
	case 'd':
		number = (int64_t)next_number(args, longs, true);
		put_number(f, number < 0 ? -(uint64_t)number : (uint64_t)number, 10, number < 0);
		break;
	case 'u': put_number(f, next_number(args, longs, false), 10, false); break;
	case 'x': put_number(f, next_number(args, longs, false), 16, false); break;
	case 'p': put_number(&pointer, (uintptr_t)va_arg(*args, void *), 16, false); break;
	default: /* '%' and whatever we do not know: shown, not swallowed */ put(&conversion, 1);
	}
}

void console_vprintf(const char *s, va_list args)
{
	bool taken = take_console();
	va_list rest;

	va_copy(rest, args);
	for (; *s != '\0'; s++) {
		struct format f = {0};
		int longs = 0;

		if (*s != '%') {
			put(s, 1);
			continue;
		}
		for (s++; *s == '-' || *s == '0'; s++)
			*(*s == '-' ? &f.left : &f.zero) = true;
		if (*s == '*') {
			f.width = va_arg(rest, int);
			s++;
		}
		for (; *s >= '0' && *s <= '9'; s++)
			f.width = f.width * 10 + (*s - '0');
		for (; *s == 'l' || *s == 'z'; s++)
			longs++;
		if (*s == '\0')
			break;
		put_conversion(&f, *s, longs, &rest);
	}
	va_end(rest);
	give_console(taken);
}

void console_printf(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	console_vprintf(format, args);
	va_end(args);
}

#pragma clang attribute pop
