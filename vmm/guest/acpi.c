// SPDX-License-Identifier: GPL-2.0-only
/* ACPI tables, after the ACPI specification 6.4, chapter 5.2. */
#include "guest/acpi.h"

#include <errno.h>
#include <string.h>

#include "device/pcstub.h"
#include "guest/pc_guest.h"
#include "machine/pc.h"

_Static_assert(ACPI_MMIO_0 == PC_MMIO_BASE && ACPI_GSI_0 == PC_GSI_FIRST &&
		       ACPI_SLOTS == PC_SLOTS && ACPI_S5_TYPE == PCSTUB_S5_TYPE,
	       "acpi_layout.h repeats these for the ASL compiler");

extern const uint8_t acpi_dsdt[], acpi_dsdt_end[]; /* dsdt_image.S */

#define SCI_IRQ	     9	  /* as on any PC */
#define SCI_FLAGS    0x0d /* active high, level: MPS INTI flags, table 5-56 */
#define FIRST_TABLE  0x100
#define FACS_AT	     0x80 /* 64-byte aligned, after the presence bytes */
#define TABLE_ALIGN  16
#define FADT_LEN     276
#define SPACE_IO     1
#define NOT_A_CSTATE 0xfff /* C2 and C3 latencies above 100 and 1000: not supported */

/* FADT flags, table 5-10: wbinvd works, C1 on all, no fixed power or sleep button, RTC cannot wake,
 * reset register. */
#define FADT_FLAGS (1u << 0 | 1u << 2 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 10)
/* IA-PC boot architecture, table 5-11: no VGA, no MSI. No 8042 either (bit 1 clear). */
#define FADT_BOOT (1u << 2 | 1u << 3)

struct header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem[6], oem_table[8];
	uint32_t oem_revision;
	char creator[4];
	uint32_t creator_revision;
} __attribute__((packed));

struct gas { /* generic address structure */
	uint8_t space, width, offset, access;
	uint64_t address;
} __attribute__((packed));

struct fadt {
	struct header h;
	uint32_t facs, dsdt;
	uint8_t reserved, profile;
	uint16_t sci;
	uint32_t smi_cmd;
	uint8_t acpi_enable, acpi_disable, s4bios, pstate;
	uint32_t pm1a_evt, pm1b_evt, pm1a_cnt, pm1b_cnt, pm2_cnt, pm_tmr, gpe0, gpe1;
	uint8_t pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len, gpe0_len, gpe1_len, gpe1_base,
		cst;
	uint16_t c2_latency, c3_latency, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t boot;
	uint8_t reserved2;
	uint32_t flags;
	struct gas reset;
	uint8_t reset_value;
	uint16_t arm_boot;
	uint8_t minor;
	uint64_t x_facs, x_dsdt;
	struct gas x_pm1a_evt, x_pm1b_evt, x_pm1a_cnt, x_rest[5], sleep_control, sleep_status;
	uint64_t hypervisor;
} __attribute__((packed));
_Static_assert(sizeof(struct fadt) == FADT_LEN, "ACPI 6.4 table 5-9");

struct madt {
	struct header h;
	uint32_t lapic, flags;
	struct {
		uint8_t type, length, uid, apic_id;
		uint32_t flags;
	} __attribute__((packed)) cpu[HOTRAIL_MAX_VCPUS];
} __attribute__((packed));

struct madt_rest {
	struct {
		uint8_t type, length, id, reserved;
		uint32_t address, gsi_base;
	} __attribute__((packed)) ioapic;
	struct {
		uint8_t type, length, bus, source;
		uint32_t gsi;
		uint16_t flags;
	} __attribute__((packed)) sci;
	struct {
		uint8_t type, length, uid;
		uint16_t flags;
		uint8_t lint;
	} __attribute__((packed)) nmi;
} __attribute__((packed));

struct area {
	uint8_t *bytes;
	size_t used;
};

static uint8_t checksum(const uint8_t *bytes, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum += *bytes++;
	return (uint8_t)-sum;
}

static void fill_header(struct header *h, const char *signature, size_t len, uint8_t revision)
{
	memcpy(h->signature, signature, 4);
	h->length = (uint32_t)len;
	h->revision = revision;
	memcpy(h->oem, "HOTRAI", 6);
	memcpy(h->oem_table, "HOTRAIL ", 8);
	h->oem_revision = 1;
	memcpy(h->creator, "HTRL", 4);
	h->creator_revision = 1;
}

/* Append a whole table. Its gpa, or 0 when there is no room. */
static uint32_t append(struct area *a, const void *table, size_t len)
{
	size_t at = (a->used + TABLE_ALIGN - 1) & ~(size_t)(TABLE_ALIGN - 1);

	if (at > ACPI_SIZE || len > ACPI_SIZE - at)
		return 0;
	memcpy(a->bytes + at, table, len);
	a->used = at + len;
	return (uint32_t)(ACPI_BASE + at);
}

static uint32_t append_summed(struct area *a, void *table, size_t len)
{
	struct header *h = table;

	h->checksum = 0;
	h->checksum = checksum(table, len);
	return append(a, table, len);
}

static struct gas io_register(uint16_t port, uint8_t bytes)
{
	return (struct gas){
		.space = SPACE_IO, .width = bytes * 8, .access = bytes, .address = port};
}

static uint32_t add_fadt(struct area *a, uint32_t dsdt)
{
	struct fadt f = {
		.facs = ACPI_BASE + FACS_AT,
		.dsdt = dsdt,
		.sci = SCI_IRQ,
		.pm1a_evt = PCSTUB_PM1A_EVT,
		.pm1a_cnt = PCSTUB_PM1A_CNT,
		.pm1_evt_len = 4,
		.pm1_cnt_len = 2,
		.c2_latency = NOT_A_CSTATE,
		.c3_latency = NOT_A_CSTATE,
		.century = 0x32,
		.boot = FADT_BOOT,
		.flags = FADT_FLAGS,
		.reset = io_register(PCSTUB_RESET, 1),
		.reset_value = 6,
		.minor = 4,
		.x_dsdt = dsdt,
		.x_pm1a_evt = io_register(PCSTUB_PM1A_EVT, 4),
		.x_pm1a_cnt = io_register(PCSTUB_PM1A_CNT, 2),
	};

	f.x_pm1a_evt.access = 2; /* two 16-bit registers */
	memcpy(&f.hypervisor, "HOTRAIL", 8);
	fill_header(&f.h, "FACP", sizeof(f), 6);
	return append_summed(a, &f, sizeof(f));
}

static uint32_t add_madt(struct area *a, unsigned vcpus)
{
	struct madt m = {.lapic = (uint32_t)PC_LAPIC, .flags = 1 /* there are 8259s too */};
	struct madt_rest rest = {
		.ioapic = {1, sizeof(rest.ioapic), 0, 0, (uint32_t)PC_IOAPIC, 0},
		.sci = {2, sizeof(rest.sci), 0, SCI_IRQ, SCI_IRQ, SCI_FLAGS},
		.nmi = {4, sizeof(rest.nmi), 0xff /* every CPU */, 0, 1},
	};
	uint8_t table[sizeof(m) + sizeof(rest)];
	size_t len = offsetof(struct madt, cpu) + vcpus * sizeof(m.cpu[0]);
	unsigned i;

	for (i = 0; i < vcpus; i++) {
		m.cpu[i].length = sizeof(m.cpu[i]);
		m.cpu[i].uid = m.cpu[i].apic_id = (uint8_t)i;
		m.cpu[i].flags = 1; /* enabled */
	}
	fill_header(&m.h, "APIC", len + sizeof(rest), 5);
	memcpy(table, &m, len);
	memcpy(table + len, &rest, sizeof(rest));
	return append_summed(a, table, len + sizeof(rest));
}

static uint32_t add_xsdt(struct area *a, uint32_t fadt, uint32_t madt)
{
	struct {
		struct header h;
		uint64_t table[2];
	} __attribute__((packed)) x = {.table = {fadt, madt}};

	fill_header(&x.h, "XSDT", sizeof(x), 1);
	return append_summed(a, &x, sizeof(x));
}

static void put_facs(uint8_t *area)
{
	struct {
		char signature[4];
		uint32_t length, hardware, waking, lock, flags;
		uint64_t x_waking;
		uint8_t version, rest[31];
	} __attribute__((packed)) f = {.length = sizeof(f), .version = 2};

	memcpy(f.signature, "FACS", 4);
	memcpy(area + FACS_AT, &f, sizeof(f));
}

static void put_rsdp(uint8_t *area, uint32_t xsdt)
{
	struct {
		char signature[8];
		uint8_t checksum;
		char oem[6];
		uint8_t revision;
		uint32_t rsdt, length;
		uint64_t xsdt;
		uint8_t checksum_all, reserved[3];
	} __attribute__((packed)) r = {.revision = 2, .length = sizeof(r), .xsdt = xsdt};

	memcpy(r.signature, "RSD PTR ", 8);
	memcpy(r.oem, "HOTRAI", 6);
	r.checksum = checksum((uint8_t *)&r, 20); /* what ACPI 1.0 knew of it */
	r.checksum_all = checksum((uint8_t *)&r, sizeof(r));
	memcpy(area, &r, sizeof(r));
}

int acpi_build(uint8_t *area, unsigned vcpus)
{
	struct area a = {.bytes = area, .used = FIRST_TABLE};
	uint32_t dsdt, fadt, madt, xsdt;

	if (vcpus < 1 || vcpus > HOTRAIL_MAX_VCPUS)
		return -EINVAL;
	memset(area, 0, ACPI_SIZE);
	dsdt = append(&a, acpi_dsdt, (uintptr_t)acpi_dsdt_end - (uintptr_t)acpi_dsdt);
	fadt = add_fadt(&a, dsdt);
	madt = add_madt(&a, vcpus);
	xsdt = add_xsdt(&a, fadt, madt);
	if (!dsdt || !fadt || !madt || !xsdt)
		return -ENOSPC;
	put_facs(area);
	put_rsdp(area, xsdt);
	return (int)a.used;
}

void acpi_set_present(uint8_t *area, unsigned slot, bool present)
{
	if (slot < ACPI_SLOTS)
		area[ACPI_PRESENCE - ACPI_BASE + slot] = present;
}
