/*
 * Lets user-mode-linux 6.1 run on processors with AMX, by LD_PRELOAD. It sets the extended state of its processes
 * (PTRACE_SETREGSET) from a buffer that is too short for theirs, which the host refuses (EFAULT) and it takes for the
 * end. What it does not know of is left as it is.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

typedef long ptrace_function(int request, pid_t pid, void *address, void *data);

/* The caller has one thread, and small stacks. AMX needs 11 KiB. */
static char state[1 << 16];

long ptrace(enum __ptrace_request request, ...) {
  static ptrace_function *next;
  if (!next) next = (ptrace_function *)dlsym(RTLD_NEXT, "ptrace");
  va_list arguments;
  va_start(arguments, request);
  const pid_t pid = va_arg(arguments, pid_t);
  void *const address = va_arg(arguments, void *);
  void *const data = va_arg(arguments, void *);
  va_end(arguments);

  if (request == PTRACE_SETREGSET && address == (void *)NT_X86_XSTATE) {
    const struct iovec *known = data;
    struct iovec whole = {state, sizeof(state)};
    if (next(PTRACE_GETREGSET, pid, address, &whole) == 0 && known->iov_len < whole.iov_len) {
      memcpy(state, known->iov_base, known->iov_len);
      return next(PTRACE_SETREGSET, pid, address, &whole);
    }
  }
  return next(request, pid, address, data);
}
