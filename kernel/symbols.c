/*
 * Names for addresses: the table that tools/symbols makes from the first link and the second link carries. A name's place
 * takes two bytes, and four more for each 256 of them.
 */
#include "kernel/kernel.h"

extern const uint32_t symbol_count;
extern const uint32_t symbol_addresses[];
extern const uint32_t symbol_name_bases[];
extern const uint16_t symbol_name_offsets[]; /* from the base of their 256 */
extern const char symbol_names[];
extern char text_start[], text_end[];

const char *symbol_name(uintptr_t pc, size_t *offset)
{
	uint32_t lo = 0, hi = symbol_count;

	*offset = 0;
	if (pc < (uintptr_t)text_start || pc >= (uintptr_t)text_end)
		return "?";
	while (lo < hi) { /* the first symbol above pc */
		uint32_t middle = lo + (hi - lo) / 2;

		if (symbol_addresses[middle] <= pc)
			lo = middle + 1;
		else
			hi = middle;
	}
	if (lo == 0)
		return "?";
	lo--;
	*offset = pc - symbol_addresses[lo];
	return symbol_names + symbol_name_bases[lo / 256] + symbol_name_offsets[lo];
}
