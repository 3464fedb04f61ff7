/*
 * The PC: any i386 or x86-64 machine with a UART where IBM put it, and QEMU's `pc` and `q35`.
 * Constants only, known to assembly too. RAM is what the loader says; the interrupt controller and the
 * timer are the CPU's own (the local APIC).
 */
#ifndef SOCLE_BOARD_H
#define SOCLE_BOARD_H

#define BOARD_NAME "pc"

#define BOARD_COM1 0x3f8       /* 16550, 1.8432 MHz crystal */
#define BOARD_DEBUG_EXIT 0xf4  /* QEMU: -device isa-debug-exit,iobase=0xf4,iosize=4; exits with (value << 1) | 1 */
#define BOARD_PIC1 0x20        /* the two 8259s: only ever masked */
#define BOARD_PIC2 0xa0
#define BOARD_PIT 0x40         /* 8254: channel 2 calibrates the clocks */
#define BOARD_PIT_HZ 1193182
#define BOARD_PORT_B 0x61      /* gate and output of PIT channel 2 */

#endif
