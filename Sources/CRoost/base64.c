/* Base64. In C for its loads and stores without checks: a value of 512 KB is encoded at each read. */
#include "croost.h"

static const uint8_t symbols[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void croost_base64_encode(const void *bytes, size_t count, void *text) {
  const uint8_t *in = bytes;
  uint8_t *out = text;
  for (; count >= 3; count -= 3, in += 3, out += 4) {
    uint32_t group = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
    out[0] = symbols[group >> 18];
    out[1] = symbols[group >> 12 & 63];
    out[2] = symbols[group >> 6 & 63];
    out[3] = symbols[group & 63];
  }
  if (count == 0) return;
  uint32_t group = (uint32_t)in[0] << 16 | (count == 2 ? (uint32_t)in[1] << 8 : 0);
  out[0] = symbols[group >> 18];
  out[1] = symbols[group >> 12 & 63];
  out[2] = count == 2 ? symbols[group >> 6 & 63] : '=';
  out[3] = '=';
}
