/* Counts the allocations of a thread, for tests with a budget. Linking this replaces malloc and its
 * kin in the whole program; without glibc the count stays 0 and `callocations_counts` says so. */
#ifndef CALLOCATIONS_H
#define CALLOCATIONS_H

#include <stdint.h>

int callocations_counts(void);
/* Since the calling thread started. */
uint64_t callocations_of_this_thread(void);

#endif
