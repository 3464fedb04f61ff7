/*
 * Which CPUs ACPI's tables tell of: those of the firmware, where the loader hands them over (argument: `given`) or they
 * were searched for (`searched`); and made ones, whole and damaged in every way that acpi.c looks at.
 */
#include <string.h>

#include "arch/x86/x86.h"
#include "qemu-tests/check.h"

/* Offsets and sizes: ACPI 6.4, 5.2. */
enum { RSDP_V0 = 20, RSDP = 36, HEADER = 36, LENGTH = 4, CHECKSUM = 9, MADT_HEADER = 44 };

static uint8_t rsdp[RSDP], root[HEADER + 8], madt[MADT_HEADER + 64];

static void put(uint8_t *to, uint32_t value) { memcpy(to, &value, 4); }

static void make_sum(uint8_t *table, size_t n, unsigned at)
{
	uint8_t sum = 0;

	table[at] = 0;
	for (size_t i = 0; i < n; i++)
		sum += table[i];
	table[at] = (uint8_t)-sum;
}

static void make_table(uint8_t *table, const char *name, size_t n)
{
	memcpy(table, name, 4);
	put(table + LENGTH, (uint32_t)n);
	make_sum(table, n, CHECKSUM);
}

/* Local APICs 0 and 3, 5 disabled, 7 as an x2APIC, and what is no CPU in between. */
static const uint8_t entries[] = {
	0, 8,  0, 0, 1, 0, 0, 0,			/* processor, id, flags */
	1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,		/* an I/O APIC */
	0, 8,  1, 3, 1, 0, 0, 0,			/**/
	0, 8,  2, 5, 0, 0, 0, 0,			/**/
	9, 16, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0 /* id, flags, processor */
};

static size_t madt_size;

static void make_tables(unsigned revision)
{
	madt_size = MADT_HEADER + sizeof entries;
	memset(rsdp, 0, sizeof rsdp);
	memset(root, 0, sizeof root);
	memset(madt, 0, sizeof madt);
	memcpy(madt + MADT_HEADER, entries, sizeof entries);
	make_table(madt, "APIC", madt_size);
	put(root + HEADER, (uint32_t)(uintptr_t)madt);
	make_table(root, revision >= 2 ? "XSDT" : "RSDT", HEADER + (revision >= 2 ? 8 : 4));
	memcpy(rsdp, "RSD PTR ", 8);
	rsdp[15] = (uint8_t)revision;
	put(rsdp + (revision >= 2 ? 24 : 16), (uint32_t)(uintptr_t)root);
	make_sum(rsdp, RSDP_V0, 8);
}

static unsigned found(void)
{
	acpi_apics = 0;
	acpi_find_cpus(rsdp);
	return acpi_apics;
}

static unsigned found_with(uint8_t *table, size_t n, size_t at, uint8_t value)
{
	make_tables(2);
	table[at] = value;
	make_sum(table, n, CHECKSUM);
	return found();
}

static void test_whole(void)
{
	for (unsigned revision = 0; revision <= 2; revision += 2) {
		make_tables(revision);
		CHECK(found() == 3 && acpi_apic_ids[0] == 0 && acpi_apic_ids[1] == 3 && acpi_apic_ids[2] == 7);
	}
}

static void test_damaged(void)
{
	size_t x2apic = MADT_HEADER + sizeof entries - 16;

	make_tables(2);
	madt[MADT_HEADER]++;
	CHECK(found() == 0); /* the sum */
	make_tables(2);
	root[HEADER + 4] = 1;
	make_sum(root, sizeof root, CHECKSUM);
	CHECK(found() == 0); /* above 4 GiB */
	CHECK(found_with(madt, madt_size, 0, 'B') == 0);
	CHECK(found_with(madt, madt_size, LENGTH, 35) == 0);
	CHECK(found_with(madt, madt_size, LENGTH + 3, 0x70) == 0); /* nearly 2 GiB, devices and all */
	CHECK(found_with(root, sizeof root, LENGTH, HEADER) == 0);
	CHECK(found_with(madt, madt_size, MADT_HEADER + 1, 0) == 0); /* an entry of no length: it ends there */
	CHECK(found_with(madt, madt_size, MADT_HEADER + 1, 1) == 0);
	CHECK(found_with(madt, madt_size, x2apic + 1, 17) == 2); /* one that goes on behind the end */
	CHECK(found_with(madt, madt_size, x2apic + 1, 15) == 2); /* too short for what it is */
	CHECK(found_with(madt, madt_size, x2apic - 7, 7) == 2);
}

static void test_many(void)
{
	make_tables(2);
	for (unsigned id = 0; id < 2 * MAX_APIC_IDS; id++) {
		madt[MADT_HEADER + 3] = (uint8_t)id;
		make_sum(madt, madt_size, CHECKSUM);
		if (id == 0)
			CHECK(found() == 3);
		acpi_find_cpus(rsdp);
	}
	CHECK(acpi_apics == MAX_APIC_IDS);
}

int main(int argc, char **argv)
{
	CHECK(argc == 2 && (boot_rsdp != NULL) == (strcmp(argv[1], "given") == 0));
	CHECK(acpi_apics == (unsigned)socle_ncpu());
	test_whole();
	test_damaged();
	test_many();
	return finish();
}
