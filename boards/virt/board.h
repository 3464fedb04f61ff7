/*
 * QEMU's `virt` for 32-bit ARM: what it has and where. Numbers only, in the preprocessor's language, for C,
 * assembly and linker.ld alike. Another ARM board is another file with these names.
 */
#ifndef SOCLE_BOARD_H
#define SOCLE_BOARD_H

#define BOARD_NAME "virt"

/* QEMU puts the device tree, up to 1 MiB of it, at the start of RAM when the image leaves room there. */
#define BOARD_RAM_BASE 0x40000000
#define BOARD_RAM_SIZE 0x04000000 /* what there is for certain: used until, and without, a device tree */
#define IMAGE_BASE 0x40200000
#define BOOT_GUARD 0x100000 /* under the boot stack, which comes first */

#define BOARD_BOOT_CPU 0x000000 /* MPIDR's affinity fields of the CPU that boots; others are parked */

#define BOARD_UART_BASE 0x09000000 /* PL011 */
#define BOARD_UART_CLOCK 24000000
#define BOARD_UART_BAUD 115200

#define BOARD_GICD_BASE 0x08000000 /* GICv2: distributor, CPU interface */
#define BOARD_GICC_BASE 0x08010000
#define BOARD_GICR_BASE 0x080a0000 /* GICv3: the redistributors, where GICv2 has neither */
#define BOARD_TIMER_INTERRUPT 27 /* the virtual timer's, private to each CPU */

#define BOARD_SEMIHOSTING 1 /* svc 0x123456 reaches a debugger or emulator, and ends the image with a status */

/* X(base, bytes) for each device that is touched after boot. */
#define BOARD_DEVICES(X) \
	X(BOARD_UART_BASE, 0x1000) \
	X(BOARD_GICD_BASE, 0x1000) \
	X(BOARD_GICC_BASE, 0x2000)

#endif
