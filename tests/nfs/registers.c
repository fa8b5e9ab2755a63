// Preloaded into the rig's kernel, which keeps a program's registers in a buffer that ends with
// those of AVX-512. A newer processor has more (AMX), and then the host refuses to set a part of
// them. So this sets all: those beyond the buffer to their initial state, in which they always are,
// as a program has to ask for the right to use them.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

typedef long Ptrace(enum __ptrace_request, int, void *, void *);

static char registers[1 << 16];
static struct iovec all = {registers, sizeof registers};

long ptrace(enum __ptrace_request request, ...) {
  va_list list;
  va_start(list, request);
  int process = va_arg(list, int);
  void *address = va_arg(list, void *);
  void *data = va_arg(list, void *);
  va_end(list);

  static Ptrace *original;
  if (!original)
    original = (Ptrace *)dlsym(RTLD_NEXT, "ptrace");
  if (request != PTRACE_SETREGSET || address != (void *)NT_X86_XSTATE)
    return original(request, process, address, data);
  if (all.iov_len == sizeof registers) {
    if (original(PTRACE_GETREGSET, process, address, &all))
      return -1;
    memset(registers, 0, all.iov_len);
  }
  struct iovec *part = data;
  if (part->iov_len >= all.iov_len)
    return original(request, process, address, data);
  memcpy(registers, part->iov_base, part->iov_len);
  return original(request, process, address, &all);
}
