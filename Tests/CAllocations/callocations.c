#include "callocations.h"

#include <stddef.h>
#include <stdlib.h>

#ifdef __GLIBC__

static __thread uint64_t count __attribute__((tls_model("initial-exec")));

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t number, size_t size);
void *__libc_realloc(void *block, size_t size);

void *malloc(size_t size) {
  count++;
  return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
  count++;
  return __libc_calloc(number, size);
}

void *realloc(void *block, size_t size) {
  count++;
  return __libc_realloc(block, size);
}

int callocations_counts(void) { return 1; }
uint64_t callocations_of_this_thread(void) { return count; }

#else

int callocations_counts(void) { return 0; }
uint64_t callocations_of_this_thread(void) { return 0; }

#endif
