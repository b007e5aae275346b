/* The C shim: what Glibc's Swift module lacks. Everything here is a thin wrapper. */
#ifndef CROOST_H
#define CROOST_H

#include <stddef.h>
#include <stdint.h>

/* CRC32C (Castagnoli), RFC 3720 appendix B.4. Feed the previous result to continue; start with 0. */
uint32_t croost_crc32c(uint32_t crc, const void *bytes, size_t count);

#endif
