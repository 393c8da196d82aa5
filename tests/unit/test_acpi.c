// SPDX-License-Identifier: GPL-2.0-only
/* The firmware tables as a kernel walks them: RSDP, XSDT, FADT, DSDT, MADT; the CPUID topology. */
#include "suite.h"

#include <errno.h>
#include <string.h>

#include "device/pcstub.h"
#include "guest/acpi.h"
#include "guest/pc_guest.h"
#include "machine/kvm.h"

static uint8_t area[ACPI_SIZE];

static uint64_t get(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	memcpy(&v, p, bytes);
	return v;
}

static uint8_t sum(const uint8_t *p, size_t len)
{
	uint8_t s = 0;

	while (len--)
		s += *p++;
	return s;
}

/* A whole table with right signature and sum, at least `least` bytes; NULL otherwise. */
static const uint8_t *table(uint64_t gpa, const char *signature, size_t least)
{
	const uint8_t *p;
	uint64_t len;

	if (gpa < ACPI_BASE || gpa > ACPI_BASE + ACPI_SIZE - 36)
		return NULL;
	p = area + (gpa - ACPI_BASE);
	len = get(p + 4, 4);
	if (memcmp(p, signature, 4) || len < least || len > ACPI_BASE + ACPI_SIZE - gpa)
		return NULL;
	return sum(p, len) ? NULL : p;
}

static const uint8_t *from_xsdt(unsigned index, const char *signature, size_t least)
{
	const uint8_t *xsdt = table(get(area + 24, 8), "XSDT", 36 + 16);

	return xsdt ? table(get(xsdt + 36 + index * 8, 8), signature, least) : NULL;
}

static void test_rsdp(void)
{
	int used;

	memset(area, 0xaa, sizeof(area));
	used = acpi_build(area, 2);
	CU_ASSERT_TRUE(used > 0 && used <= ACPI_SIZE);
	CU_ASSERT_EQUAL(memcmp(area, "RSD PTR ", 8), 0);
	CU_ASSERT_EQUAL(sum(area, 20), 0);
	CU_ASSERT_EQUAL(sum(area, 36), 0);
	CU_ASSERT_EQUAL(area[15], 2);
	CU_ASSERT_EQUAL(get(area + 20, 4), 36);
	CU_ASSERT_PTR_NOT_NULL(table(get(area + 24, 8), "XSDT", 52));
	CU_ASSERT_EQUAL(area[used], 0); /* nothing of what was there before */
	CU_ASSERT_EQUAL(acpi_build(area, 0), -EINVAL);
	CU_ASSERT_EQUAL(acpi_build(area, HOTRAIL_MAX_VCPUS + 1), -EINVAL);
}

static void test_fadt(void)
{
	const uint8_t *f, *facs;

	CU_ASSERT_TRUE_FATAL(acpi_build(area, 1) > 0);
	f = from_xsdt(0, "FACP", 276);
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	CU_ASSERT_EQUAL(get(f + 46, 2), 9); /* SCI */
	CU_ASSERT_EQUAL(get(f + 48, 4), 0); /* no SMI command: always in ACPI mode */
	CU_ASSERT_EQUAL(get(f + 56, 4), PCSTUB_PM1A_EVT);
	CU_ASSERT_EQUAL(get(f + 64, 4), PCSTUB_PM1A_CNT);
	CU_ASSERT_EQUAL(f[88], 4);
	CU_ASSERT_EQUAL(f[89], 2);
	CU_ASSERT_EQUAL(get(f + 109, 2) & 2, 0);	  /* no 8042 */
	CU_ASSERT_EQUAL(get(f + 112, 4) & (1u << 20), 0); /* not hardware reduced */
	CU_ASSERT_TRUE(get(f + 112, 4) & (1u << 10));	  /* the reset register counts */
	CU_ASSERT_EQUAL(f[116], 1);			  /* in port space */
	CU_ASSERT_EQUAL(get(f + 120, 8), PCSTUB_RESET);
	CU_ASSERT_EQUAL(f[128], 6);
	CU_ASSERT_EQUAL(get(f + 152, 8), PCSTUB_PM1A_EVT);
	CU_ASSERT_EQUAL(get(f + 176, 8), PCSTUB_PM1A_CNT);
	CU_ASSERT_EQUAL(get(f + 40, 4), get(f + 140, 8));
	CU_ASSERT_PTR_NOT_NULL(table(get(f + 140, 8), "DSDT", 100));
	CU_ASSERT_EQUAL(get(f + 36, 4) % 64, 0);
	facs = area + (get(f + 36, 4) - ACPI_BASE);
	CU_ASSERT_EQUAL(memcmp(facs, "FACS", 4), 0);
	CU_ASSERT_EQUAL(get(facs + 4, 4), 64);
}

static void test_madt(void)
{
	unsigned n, cpus, ioapics, overrides, nmis;
	const uint8_t *m, *p, *end;

	for (n = 1; n <= HOTRAIL_MAX_VCPUS; n++) {
		CU_ASSERT_TRUE_FATAL(acpi_build(area, n) > 0);
		m = from_xsdt(1, "APIC", 44);
		CU_ASSERT_PTR_NOT_NULL_FATAL(m);
		CU_ASSERT_EQUAL(get(m + 36, 4), PC_LAPIC);
		cpus = ioapics = overrides = nmis = 0;
		end = m + get(m + 4, 4);
		for (p = m + 44; p + 2 <= end && p[1] >= 2; p += p[1]) {
			if (p[0] == 0) {
				CU_ASSERT_EQUAL(p[3], cpus);
				CU_ASSERT_EQUAL(get(p + 4, 4), 1);
				cpus++;
			} else if (p[0] == 1) {
				CU_ASSERT_EQUAL(get(p + 4, 4), PC_IOAPIC);
				CU_ASSERT_EQUAL(get(p + 8, 4), 0);
				ioapics++;
			} else if (p[0] == 2) {
				CU_ASSERT_EQUAL(p[3], 9);
				CU_ASSERT_EQUAL(get(p + 4, 4), 9);
				overrides++;
			} else if (p[0] == 4) {
				CU_ASSERT_EQUAL(p[5], 1);
				nmis++;
			}
		}
		CU_ASSERT_PTR_EQUAL(p, end); /* the entries fill it exactly */
		CU_ASSERT_EQUAL(cpus, n);
		CU_ASSERT_EQUAL(ioapics, 1);
		CU_ASSERT_EQUAL(overrides, 1);
		CU_ASSERT_EQUAL(nmis, 1);
	}
}

/* How often these bytes are in the DSDT. */
static unsigned count(const uint8_t *dsdt, const void *bytes, size_t len)
{
	size_t size = get(dsdt + 4, 4), i;
	unsigned n = 0;

	for (i = 36; i + len <= size; i++)
		n += !memcmp(dsdt + i, bytes, len);
	return n;
}

static void test_dsdt(void)
{
	/* ACPI 6.4, 6.4.3.4: Memory32Fixed, writable; 6.4.3.6: interrupt, consumer, edge, high. */
	uint8_t memory[12] = {0x86, 9, 0, 1}, irq[9] = {0x89, 6, 0, 3, 1};
	const uint8_t *f, *dsdt;
	unsigned i;

	CU_ASSERT_TRUE_FATAL(acpi_build(area, 1) > 0);
	f = from_xsdt(0, "FACP", 276);
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	dsdt = table(get(f + 140, 8), "DSDT", 100);
	CU_ASSERT_PTR_NOT_NULL_FATAL(dsdt);
	CU_ASSERT_EQUAL(count(dsdt, "LNRO0005", 9), PC_SLOTS);
	for (i = 0; i < PC_SLOTS; i++) {
		uint32_t at = (uint32_t)(PC_MMIO_BASE + i * 0x1000), len = 0x1000;
		uint32_t gsi = PC_GSI_FIRST + i;

		memcpy(memory + 4, &at, 4);
		memcpy(memory + 8, &len, 4);
		memcpy(irq + 5, &gsi, 4);
		CU_ASSERT_EQUAL(count(dsdt, memory, sizeof(memory)), 1);
		CU_ASSERT_EQUAL(count(dsdt, irq, sizeof(irq)), 1);
	}
	CU_ASSERT_EQUAL(count(dsdt, "_S5_", 4), 1);
	CU_ASSERT_EQUAL(count(dsdt, "COM1", 4), 1);
	acpi_set_present(area, 3, true);
	acpi_set_present(area, PC_SLOTS, true);
	for (i = 0; i <= PC_SLOTS; i++)
		CU_ASSERT_EQUAL(area[ACPI_PRESENCE - ACPI_BASE + i], i == 3);
	acpi_set_present(area, 3, false);
	CU_ASSERT_EQUAL(area[ACPI_PRESENCE - ACPI_BASE + 3], 0);
}

/* --- CPUID --- */

struct cpuid_table {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 room[16 + KVM_PC_CPUID_MORE];
};

static struct kvm_cpuid_entry2 *leaf(struct cpuid_table *t, uint32_t function, uint32_t index)
{
	unsigned i;

	for (i = 0; i < t->head.nent; i++)
		if (t->room[i].function == function && t->room[i].index == index)
			return &t->room[i];
	return NULL;
}

static void fill(struct cpuid_table *t, bool amd)
{
	const struct kvm_cpuid_entry2 e[] = {
		{.function = 0, .eax = 0x1f, .ebx = amd ? 0x68747541 : 0x756e6547},
		{.function = 1, .ebx = 0xff80800, .ecx = 1u << 5, .edx = 0},
		{.function = 4, .index = 0, .eax = 0xfc004121},
		{.function = 4, .index = 3, .eax = 0xfc03c163},
		{.function = 0xb, .index = 0, .eax = 1, .ebx = 2, .ecx = 0x100, .edx = 77},
		{.function = 0xb, .index = 1, .eax = 4, .ebx = 16, .ecx = 0x201, .edx = 77},
		{.function = 0x1f, .index = 0, .eax = 1, .ebx = 2, .ecx = 0x100},
		{.function = 0x40000000, .eax = 0x40000001},
		{.function = 0x80000001, .ecx = 1u << 2 | 1u << 22},
		{.function = 0x80000008, .eax = 0x3030, .ecx = 0x400f},
		{.function = 0x8000001e, .eax = 77, .ebx = 0x107, .ecx = 0x301},
	};

	memset(t, 0, sizeof(*t));
	t->head.nent = sizeof(e) / sizeof(e[0]);
	memcpy(t->room, e, sizeof(e));
}

static void test_cpuid(void)
{
	struct cpuid_table t;
	unsigned n, i;

	for (n = 1; n <= HOTRAIL_MAX_VCPUS; n++) {
		for (i = 0; i < n; i++) {
			unsigned ids = n == 1 ? 1 : n == 2 ? 2 : n <= 4 ? 4 : 8;

			fill(&t, true);
			kvm_pc_cpuid(&t.head, i, n, true);
			CU_ASSERT_TRUE(t.head.nent <= 16 + KVM_PC_CPUID_MORE);
			CU_ASSERT_EQUAL(leaf(&t, 1, 0)->ebx, i << 24 | ids << 16 | 0x800);
			CU_ASSERT_EQUAL(leaf(&t, 1, 0)->ecx, 1u << 31 | 1u << 24);
			CU_ASSERT_EQUAL(leaf(&t, 1, 0)->edx, (n > 1) << 28);
			CU_ASSERT_EQUAL(leaf(&t, 4, 0)->eax >> 14, (ids - 1) << 12);
			CU_ASSERT_EQUAL(leaf(&t, 4, 3)->eax >> 14, (ids - 1) << 12 | (ids - 1));
			CU_ASSERT_EQUAL(leaf(&t, 0xb, 0)->ebx, 1);
			CU_ASSERT_EQUAL(leaf(&t, 0xb, 0)->eax, 0);
			CU_ASSERT_EQUAL(leaf(&t, 0xb, 1)->ebx, n);
			CU_ASSERT_EQUAL(1u << leaf(&t, 0xb, 1)->eax, ids);
			CU_ASSERT_EQUAL(leaf(&t, 0xb, 1)->ecx, 0x201);
			CU_ASSERT_EQUAL(leaf(&t, 0xb, 1)->edx, i);
			CU_ASSERT_PTR_NULL(leaf(&t, 0x1f, 0));
			CU_ASSERT_PTR_NOT_NULL(leaf(&t, 0x40000000, 0));
			CU_ASSERT_EQUAL(leaf(&t, 0x80000001, 0)->ecx, 1u << 22 | (n > 1) << 1);
			CU_ASSERT_EQUAL(leaf(&t, 0x80000008, 0)->ecx & 0xff, n - 1);
			CU_ASSERT_EQUAL(1u << (leaf(&t, 0x80000008, 0)->ecx >> 12), ids);
			CU_ASSERT_EQUAL(leaf(&t, 0x8000001e, 0)->eax, i);
			CU_ASSERT_EQUAL(leaf(&t, 0x8000001e, 0)->ecx, 0);
		}
	}
	fill(&t, false);
	kvm_pc_cpuid(&t.head, 1, 2, false);
	CU_ASSERT_EQUAL(leaf(&t, 1, 0)->ecx, 1u << 31);
	CU_ASSERT_EQUAL(leaf(&t, 0x80000001, 0)->ecx, 1u << 22);
	CU_ASSERT_EQUAL(leaf(&t, 0x80000008, 0)->ecx, 0x400f);
	fill(&t, false);
	t.room[0].eax = 7; /* a processor without leaf 0xb gets none */
	kvm_pc_cpuid(&t.head, 0, 2, false);
	CU_ASSERT_PTR_NULL(leaf(&t, 0xb, 0));
}

static const struct suite_test tests[] = {
	{"RSDP and XSDT", test_rsdp},
	{"FADT names the registers that exist", test_fadt},
	{"MADT lists every CPU", test_madt},
	{"DSDT describes slots and serial port", test_dsdt},
	{"CPUID shows one core a vCPU", test_cpuid},
};
SUITE_MAIN("acpi", tests, 20)
