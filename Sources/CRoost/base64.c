/* Base64. In C for its loads and stores without checks: a value of 512 KB is encoded at each read. */
#include "croost.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static const uint8_t symbols[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#if defined(__x86_64__)
/* Twelve bytes become sixteen symbols at a time, as long as sixteen bytes may be read. Returns how
 * many bytes it took. */
__attribute__((target("ssse3"))) static size_t encode_wide(
    const uint8_t *in, size_t count, uint8_t *out) {
  /* Bytes a, b, c of a group as b a c b: each of the four places of six bits then lies within
   * sixteen bits of its 32. */
  const __m128i spread = _mm_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10);
  /* What to add to six bits, by the range they are in: letters (0: small, 13: capital), digits, +, /. */
  const __m128i offsets = _mm_setr_epi8(
      'a' - 26, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
      '0' - 52, '0' - 52, '+' - 62, '/' - 63, 'A', 0, 0);
  size_t taken = 0;
  for (; count - taken >= 16; taken += 12, out += 16) {
    __m128i bytes = _mm_loadu_si128((const __m128i *)(in + taken));
    bytes = _mm_shuffle_epi8(bytes, spread);
    /* The first and third six bits move down by ten and six, the second and fourth up by four and
     * eight: a product's upper half is a shift to the right, its lower half one to the left. */
    __m128i odd = _mm_mulhi_epu16(
        _mm_and_si128(bytes, _mm_set1_epi32(0x0FC0FC00)), _mm_set1_epi32(0x04000040));
    __m128i even = _mm_mullo_epi16(
        _mm_and_si128(bytes, _mm_set1_epi32(0x003F03F0)), _mm_set1_epi32(0x01000010));
    __m128i bits = _mm_or_si128(odd, even);
    /* 0 up to 51, then 1 to 12; and of the first, 13 below 26. */
    __m128i range = _mm_subs_epu8(bits, _mm_set1_epi8(51));
    __m128i capital = _mm_and_si128(_mm_cmplt_epi8(bits, _mm_set1_epi8(26)), _mm_set1_epi8(13));
    range = _mm_or_si128(range, capital);
    __m128i text = _mm_add_epi8(bits, _mm_shuffle_epi8(offsets, range));
    _mm_storeu_si128((__m128i *)out, text);
  }
  return taken;
}
#endif

void croost_base64_encode(const void *bytes, size_t count, void *text) {
  const uint8_t *in = bytes;
  uint8_t *out = text;
#if defined(__x86_64__)
  if (count >= 16 && __builtin_cpu_supports("ssse3")) {
    size_t taken = encode_wide(in, count, out);
    in += taken;
    count -= taken;
    out += taken / 3 * 4;
  }
#endif
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
