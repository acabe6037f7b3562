/* x86_64.c - how trampolines come to the stub on this machine, and how the stub makes calls.
 *
 * A trampoline beside a patched call site (sites.c) comes here with the registers of the call.  What is answered needs
 * no trap; else the call is made where it stands, and is trapped as ever.  rcx says which: a system call clobbers it.
 *
 * Rule: all registers but rax, rcx and r11 are as before.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "inside.h"

__asm__(".section .head,\"ax\"\n"
        ".quad 0x31627574736f7470\n"
        ".quad stub_entry\n.quad stub_passing_ip\n.quad stub_boot\n.quad stub_code_end - 0x7e9000000000\n"
        ".text\n.p2align 4\n"
        "stub_entry:\n endbr64\n"
        " push %r9\n push %r8\n push %r10\n push %rdx\n push %rsi\n push %rdi\n push %rax\n"
        " mov %rsp,%rdi\n call stub_decide\n mov %rax,%rcx\n"
        " pop %rax\n pop %rdi\n pop %rsi\n pop %rdx\n pop %r10\n pop %r8\n pop %r9\n ret\n"
        ".p2align 4\n.globl stub_pass\n"
        "stub_pass:\n mov %rdi,%rax\n mov %rsi,%rdi\n mov %rdx,%rsi\n mov %rcx,%rdx\n mov %r8,%r10\n mov %r9,%r8\n"
        " syscall\n"
        "stub_passing_ip:\n ret\n"
        ".p2align 4\n.globl stub_ask\n"
        "stub_ask:\n mov %rdi,%rax\n mov %rsi,%rdi\n mov %rdx,%rsi\n mov %rcx,%rdx\n mov %r8,%r10\n mov %r9,%r8\n"
        " syscall\n ret\n"
        ".p2align 4\n.globl stub_map\n"
        "stub_map:\n mov %rcx,%r10\n mov $9,%eax\n syscall\n ret\n"
        ".p2align 4\n"
        "stub_boot:\n lea -512(%rsp),%rsp\n call stub_map_all\n int3\n");
