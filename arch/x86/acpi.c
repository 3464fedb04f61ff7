/*
 * Which CPUs there are: the firmware's MADT lists their local APICs. The way there is RSDP, XSDT or RSDT, MADT
 * (ACPI 6.4, 5.2); the loader hands over the RSDP, or else it lies where a BIOS puts it. All of that is read at boot,
 * while what lies below 4 GiB can be reached at its physical address and nobody has allocated. What is damaged or out
 * of reach is as if it was not there: then there is one CPU.
 */
#include "arch/x86/x86.h"

struct rsdp {
	char signature[8];
	uint8_t checksum, oem[6], revision;
	uint32_t rsdt; /* version 0 ends here: 20 bytes */
	uint32_t length;
	uint64_t xsdt;
	uint8_t checksum_all, unused[3];
} __attribute__((packed));

struct table {
	char signature[4];
	uint32_t length; /* of all of it */
	uint8_t revision, checksum, oem[26];
} __attribute__((packed));

struct madt {
	struct table header;
	uint32_t apic_base, flags;
	uint8_t entries[];
} __attribute__((packed));

struct entry {
	uint8_t type, length;
	union {
		struct {
			uint8_t processor, id;
			uint32_t flags;
		} __attribute__((packed)) apic;
		struct {
			uint16_t unused;
			uint32_t id, flags, processor;
		} __attribute__((packed)) x2apic;
	};
} __attribute__((packed));

enum { MADT_APIC = 0, MADT_APIC_SIZE = 8, MADT_X2APIC = 9, MADT_X2APIC_SIZE = 16, ENABLED = 1 };
enum { LONGEST = 1 << 20 }; /* no such table is longer: damage */
enum { RSDP_V0_SIZE = 20, EBDA_SEGMENT = 0x40e, BIOS_AREA = 0xe0000, BIOS_AREA_SIZE = 0x20000 };

uint32_t acpi_apic_ids[MAX_APIC_IDS];
unsigned acpi_apics;

static bool adds_up(const void *bytes, size_t n)
{
	const uint8_t *byte = bytes;
	uint8_t sum = 0;

	while (n-- > 0)
		sum += *byte++;
	return sum == 0;
}

static bool is_called(const char *signature, const char *name)
{
	while (*name)
		if (*signature++ != *name++)
			return false;
	return true;
}

static bool is_rsdp(const struct rsdp *r) { return is_called(r->signature, "RSD PTR ") && adds_up(r, RSDP_V0_SIZE); }

/* It stands on 16 bytes. */
static const struct rsdp *search(uintptr_t lo, size_t size)
{
	for (uintptr_t at = lo; at < lo + size; at += 16)
		if (*(const uint32_t *)at == 0x20445352 /* "RSD " */ && is_rsdp((const struct rsdp *)at))
			return (const struct rsdp *)at;
	return NULL;
}

/* Upper half first: that is where most have it, and a search is most of what all this costs. */
static const struct rsdp *search_bios(void)
{
	uintptr_t word = EBDA_SEGMENT, ebda;
	const struct rsdp *r = search(BIOS_AREA + BIOS_AREA_SIZE / 2, BIOS_AREA_SIZE / 2);

	__asm__("" : "+r"(word)); /* or the compiler has an opinion of addresses so low */
	ebda = (uintptr_t) * (const uint16_t *)word << 4;
	if (!r)
		r = search(BIOS_AREA, BIOS_AREA_SIZE / 2);
	if (!r && ebda >= 0x80000 && ebda < 0xa0000)
		r = search(ebda, 1024);
	return r;
}

/* Null where there is none to be had. */
static const struct table *table_at(uint64_t address, const char *name)
{
	const struct table *t = (const struct table *)(uintptr_t)address;

	if (address == 0 || address >> 32 || !is_called(t->signature, name) || t->length < sizeof *t ||
	    t->length > LONGEST || address + t->length > 1ull << 32 || !adds_up(t, t->length))
		return NULL;
	return t;
}

/* The root table has nothing but addresses: of 4 bytes or, in the newer one, 8, on no boundary. */
static const struct madt *find_madt(const struct rsdp *r)
{
	const struct table *root = r->revision >= 2 ? table_at(r->xsdt, "XSDT") : NULL;
	unsigned size = root ? 8 : 4;

	if (!root)
		root = table_at(r->rsdt, "RSDT");
	if (!root)
		return NULL;
	for (const char *at = (const char *)(root + 1); at + size <= (const char *)root + root->length; at += size) {
		uint64_t address = *(const uint32_t *)at;
		const struct table *t;

		if (size == 8)
			address |= (uint64_t) * (const uint32_t *)(at + 4) << 32;
		t = table_at(address, "APIC");
		if (t && t->length >= sizeof(struct madt))
			return (const struct madt *)t;
	}
	return NULL;
}

/* Some firmware lists a CPU in both forms. */
static void add(uint32_t id)
{
	for (unsigned i = 0; i < acpi_apics; i++)
		if (acpi_apic_ids[i] == id)
			return;
	if (acpi_apics < MAX_APIC_IDS)
		acpi_apic_ids[acpi_apics++] = id;
}

void acpi_find_cpus(const void *rsdp)
{
	const struct rsdp *r = rsdp && is_rsdp(rsdp) ? rsdp : search_bios();
	const struct madt *madt = r ? find_madt(r) : NULL;
	const uint8_t *at, *end;

	if (!madt)
		return;
	end = (const uint8_t *)madt + madt->header.length;
	for (at = madt->entries; at + 2 <= end && at[1] >= 2 && at + at[1] <= end; at += at[1]) {
		const struct entry *e = (const struct entry *)at;

		if (e->type == MADT_APIC && e->length >= MADT_APIC_SIZE && e->apic.flags & ENABLED)
			add(e->apic.id);
		if (e->type == MADT_X2APIC && e->length >= MADT_X2APIC_SIZE && e->x2apic.flags & ENABLED)
			add(e->x2apic.id);
	}
}
