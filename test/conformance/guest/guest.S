/*
 * The guest of the conformance tests: 32-bit, flat, paging off, so that linear addresses are guest-physical ones.
 * It waits for a request in the mailbox page, does one thing, and answers there. dom0 reads and writes the mailbox
 * through a foreign mapping.
 *
 * Frames: code, data and GDT 0x10, IDT 0x14, stack 0x2e, mailbox 0x30. Nothing else is touched unless a request says so;
 * altp2m views fill with just these.
 */
        .code32
        .text
        .globl _start

        .set    IDT, 0x14000
        .set    STACK_TOP, 0x2f000
        .set    BOX, 0x30000
        /* written by dom0 */
        .set    REQUEST, BOX + 0x00     /* number of the request, written last */
        .set    OPCODE, BOX + 0x04
        .set    ARGS, BOX + 0x08        /* eax, ebx, ecx, edx, esi, edi */
        /* written by the guest */
        .set    DONE, BOX + 0x40        /* number of the request answered, written last */
        .set    RESULT, BOX + 0x44      /* eax */
        .set    VECTOR, BOX + 0x48      /* exception, or -1 */
        .set    ERRCODE, BOX + 0x4c
        .set    ADDRESS, BOX + 0x50     /* of the instruction that raised it */
        .set    READY, BOX + 0x54

_start:
        mov     $STACK_TOP, %esp
        lgdt    gdt_pointer
        ljmp    $0x08, $reload
reload:
        mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss

        /* thirty-two interrupt gates, one for each entry of the vector table below */
        xor     %ecx, %ecx
        mov     $vectors, %ebx
gate:
        movzwl  %bx, %eax
        or      $0x00080000, %eax
        mov     %eax, IDT(,%ecx,8)
        mov     %ebx, %eax
        mov     $0x8e00, %ax
        mov     %eax, IDT + 4(,%ecx,8)
        add     $VECTOR_SIZE, %ebx
        inc     %ecx
        cmp     $32, %ecx
        jb      gate
        lidt    idt_pointer

        xor     %eax, %eax
        cpuid
        cmp     $0x68747541, %ebx       /* "Auth": AMD, whose hypercalls are VMMCALL */
        jne     ready
        movb    $0xd9, yield + 2
ready:
        movl    $0x52454459, READY

        /* with one processor, dom0 gets it back at once and not when a timer says so */
idle:
        mov     $29, %eax               /* sched_op */
        xor     %ebx, %ebx              /* SCHEDOP_yield */
        xor     %ecx, %ecx
yield:
        .byte   0x0f, 0x01, 0xc1
        mov     REQUEST, %eax
        cmp     DONE, %eax
        je      idle

        movl    $-1, VECTOR
        mov     OPCODE, %ebp
        cmp     $OPERATIONS, %ebp
        jae     answer
        mov     ARGS + 4, %ebx
        mov     ARGS + 8, %ecx
        mov     ARGS + 12, %edx
        mov     ARGS + 16, %esi
        mov     ARGS + 20, %edi
        mov     ARGS, %eax
        jmp     *operations(,%ebp,4)

op_vmfunc:                              /* eax leaf, ecx index */
        .byte   0x0f, 0x01, 0xd4
        jmp     answer
op_read:                                /* ebx address */
        mov     (%ebx), %eax
        jmp     answer
op_write:                               /* ebx address, ecx value */
        mov     %ecx, (%ebx)
        jmp     answer
op_call:                                /* ebx address of code that returns its result in eax */
        call    *%ebx
        jmp     answer
op_vmcall:                              /* a hypercall, Intel's instruction */
        .byte   0x0f, 0x01, 0xc1
        jmp     answer
op_vmmcall:                             /* the same, AMD's */
        .byte   0x0f, 0x01, 0xd9
        jmp     answer
op_vmfunc_read:                         /* enter view ecx, read ebx, come back to view 0 */
        .byte   0x0f, 0x01, 0xd4
        mov     (%ebx), %esi
        xor     %eax, %eax
        xor     %ecx, %ecx
        .byte   0x0f, 0x01, 0xd4
        mov     %esi, %eax
        jmp     answer
op_ud2:
        ud2
op_cpuid:                               /* eax leaf */
        cpuid
        jmp     answer
op_write_cr0:                           /* eax */
        mov     %eax, %cr0
        jmp     answer
op_write_cr3:
        mov     %eax, %cr3
        jmp     answer
op_write_cr4:
        mov     %eax, %cr4
        jmp     answer
op_read_cr:                             /* eax: 0, 3 or 4 */
        cmp     $3, %eax
        je      1f
        ja      2f
        mov     %cr0, %eax
        jmp     answer
1:      mov     %cr3, %eax
        jmp     answer
2:      mov     %cr4, %eax
        jmp     answer
op_wrmsr:                               /* ecx register, edx:eax value */
        wrmsr
        jmp     answer
op_rdmsr:                               /* ecx register; its low half */
        rdmsr
        jmp     answer
op_int3:
        int3
        jmp     answer
op_trap:                                /* a debug exception after the next instruction: the trap flag */
        pushfl
        orl     $0x100, (%esp)
        popfl
        nop
        jmp     answer
op_sgdt:                                /* a read of a descriptor-table register, to the stack */
        sgdt    -16(%esp)
        jmp     answer
op_lgdt:                                /* a write of one: the value that it has */
        lgdt    gdt_pointer
        jmp     answer
op_halt:
        cli
        hlt
        jmp     op_halt

/* stack: vector, error code, eip, cs, eflags */
exception:
        popl    VECTOR
        popl    ERRCODE
        popl    ADDRESS
        mov     $STACK_TOP, %esp
answer:
        mov     %eax, RESULT
        mov     REQUEST, %eax
        mov     %eax, DONE
        jmp     idle

        .balign 4
operations:
        .long   op_vmfunc, op_read, op_write, op_call, op_vmcall, op_vmmcall, op_vmfunc_read, op_ud2, op_cpuid, op_halt
        .long   op_write_cr0, op_write_cr3, op_write_cr4, op_read_cr, op_wrmsr, op_rdmsr, op_int3, op_trap, op_sgdt, op_lgdt
        .set    OPERATIONS, (. - operations) / 4

        .balign 8
gdt:    .quad   0
        .quad   0x00cf9b000000ffff      /* 08: code */
        .quad   0x00cf93000000ffff      /* 10: data */
gdt_pointer:
        .word   . - gdt - 1
        .long   gdt
idt_pointer:
        .word   32 * 8 - 1
        .long   IDT

        /* vectors 8, 10 to 14, 17 and 21 push an error code; the others get a zero in its place */
        .set    VECTOR_SIZE, 16
        .set    vector, 0
        .balign VECTOR_SIZE
vectors:
        .rept   32
        .balign VECTOR_SIZE
        .if     !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
        pushl   $0
        .endif
        pushl   $vector
        jmp     exception
        .set    vector, vector + 1
        .endr
