/* Pages of 2 MB for the part of the heap that has filled.
 *
 * A page fault that has to find and clear 2 MB takes milliseconds when memory is in pieces. So the
 * heap grows by small pages, and a background thread has the kernel move each 2 MB that are full
 * into one large page (MADV_COLLAPSE, Linux 6.1): whoever touches them meanwhile waits for a copy
 * of 2 MB, a fraction of a millisecond. */
#include "croost.h"

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

enum { page_bytes = 4096, pages = 512, range_bytes = page_bytes * pages };

/* From where large pages are wanted, aligned; 0: nowhere. */
static _Atomic uintptr_t wanted_from;
/* Up to where that was done. */
static _Atomic uintptr_t collapsed;
/* The heap's end as the first thread saw it last. */
static _Atomic uintptr_t heap_end;

void croost_heap_prepare(size_t kept) {
  if (sysconf(_SC_PAGESIZE) != page_bytes) return;
  mallopt(M_TOP_PAD, 32 << 20);
  /* Setting one stops the others from adapting themselves. */
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
  mallopt(M_TRIM_THRESHOLD, 64 << 20);
  uintptr_t start = (uintptr_t)sbrk(0) + kept;
  start = (start + range_bytes - 1) & ~(uintptr_t)(range_bytes - 1);
  atomic_store(&wanted_from, start);
  atomic_store(&collapsed, start);
}

/* The heap is filled from below: a range is full when the one above has been begun. */
static bool is_full(uintptr_t range, uintptr_t end) {
  unsigned char resident[pages];
  if (range + 2 * range_bytes > end) return false;
  if (mincore((void *)(range + range_bytes), range_bytes, resident) < 0) return false;
  for (int i = 0; i < pages; i++)
    if (resident[i] & 1) return true;
  return false;
}

bool croost_heap_has_filled(void) {
  if (atomic_load(&wanted_from) == 0) return false;
  uintptr_t end = (uintptr_t)sbrk(0) & ~(uintptr_t)(range_bytes - 1);
  atomic_store(&heap_end, end);
  uintptr_t done = atomic_load(&collapsed);
  return end < done || is_full(done, end);
}

void croost_heap_collapse(void) {
  uintptr_t start = atomic_load(&wanted_from), end = atomic_load(&heap_end);
  uintptr_t range = atomic_load(&collapsed);
  /* What was given back comes back in small pages. */
  if (range > end) range = end > start ? end : start;
  for (; is_full(range, end); range += range_bytes) {
    if (madvise((void *)range, range_bytes, MADV_COLLAPSE) == 0 || errno != EINVAL) continue;
    /* A kernel that cannot do it. */
    atomic_store(&wanted_from, 0);
    return;
  }
  atomic_store(&collapsed, range);
}
