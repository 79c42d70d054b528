// The Internet checksum's sum (RFC 1071); src/net/checksum.ts says what full and partial checksums are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace xenctrl {

/// Folds a sum of 16-bit words to 16 bits. Only 0 gives 0. To a number its halves are added in the other order: what
/// the lower half carries over belongs to the upper one, where the result is.
inline uint32_t FoldSum32(uint32_t sum) { return (sum + (sum >> 16 | sum << 16)) >> 16; }
inline uint32_t FoldSum(uint64_t sum) {
  return FoldSum32(static_cast<uint32_t>((sum + (sum >> 32 | sum << 32)) >> 32));
}

/// The complement of a folded sum: a checksum as it is sent, or the sum behind one.
inline uint32_t Not(uint32_t sum) { return ~sum & 0xffff; }

/// Turns a sum of words as this machine reads them into that of words in network byte order, or back.
constexpr uint32_t SwapSum(uint32_t folded) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  return ((folded & 0xff) << 8) | (folded >> 8);
#else
  return folded;
#endif
}

/// The best implementation for this processor.
extern uint32_t (*const SumManyWords)(const uint8_t *bytes, size_t length);
uint32_t SumWordsPlain(const uint8_t *bytes, size_t length);

/// The folded sum of words as this machine reads them; a last odd byte is followed by 0.
inline uint32_t SumWords(const uint8_t *bytes, size_t length) {
  if (length >= 32) return SumManyWords(bytes, length);
  // two sums without carries: neither waits for the other
  uint64_t low = 0;
  uint64_t high = 0;
  for (; length >= 8; bytes += 8, length -= 8) {
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    low += word & 0xffffffff;
    high += word >> 32;
  }
  if (length & 4) {
    uint32_t word;
    memcpy(&word, bytes, sizeof word);
    low += word;
    bytes += 4;
  }
  if (length & 2) {
    uint16_t word;
    memcpy(&word, bytes, sizeof word);
    low += word;
    bytes += 2;
  }
  if (length & 1) high += __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? *bytes : uint32_t{*bytes} << 8;
  return FoldSum(low + high);
}

/// The same in network byte order, going on from `initial`.
inline uint32_t ChecksumSum(const uint8_t *bytes, size_t length, uint32_t initial) {
  return FoldSum(uint64_t{SwapSum(SumWords(bytes, length))} + initial);
}

#ifdef __x86_64__
uint32_t SumWordsAvx2(const uint8_t *bytes, size_t length);
#endif

}  // namespace xenctrl
