#include "checksum.h"

#include <cstring>

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace xenctrl {
namespace {

template <typename Word>
inline Word Load(const uint8_t *bytes) {
  Word word;
  memcpy(&word, bytes, sizeof word);
  return word;
}

/// Adds with the carry coming round, which one's complement allows at any width.
inline uint64_t AddCarry(uint64_t sum, uint64_t word) {
  sum += word;
  return sum + (sum < word);
}

/// What is left below 32 bytes.
inline uint32_t SumTail(const uint8_t *bytes, size_t length, uint64_t sum) {
  if (length & 16) {
    sum = AddCarry(AddCarry(sum, Load<uint64_t>(bytes)), Load<uint64_t>(bytes + 8));
    bytes += 16;
  }
  if (length & 8) {
    sum = AddCarry(sum, Load<uint64_t>(bytes));
    bytes += 8;
  }
  uint64_t rest = 0;
  if (length & 4) {
    rest += Load<uint32_t>(bytes);
    bytes += 4;
  }
  if (length & 2) {
    rest += Load<uint16_t>(bytes);
    bytes += 2;
  }
  if (length & 1) {
    const uint8_t last[2] = {*bytes, 0};
    rest += Load<uint16_t>(last);
  }
  return FoldSum((sum & 0xffffffff) + (sum >> 32) + rest);
}

}  // namespace

uint32_t SumWordsPlain(const uint8_t *bytes, size_t length) {
  uint64_t sum = 0;
  for (; length >= 32; bytes += 32, length -= 32) {
    sum = AddCarry(sum, Load<uint64_t>(bytes));
    sum = AddCarry(sum, Load<uint64_t>(bytes + 8));
    sum = AddCarry(sum, Load<uint64_t>(bytes + 16));
    sum = AddCarry(sum, Load<uint64_t>(bytes + 24));
  }
  return SumTail(bytes, length, sum);
}

#ifdef __x86_64__
namespace {

/// Adds the sixteen 16-bit words of `words` to eight sums, in pairs. The processor takes them for signed numbers, so
/// kBias is taken from each.
constexpr uint32_t kBias = 0x8000;
__attribute__((target("avx2"))) inline __m256i AddWords(__m256i sums, __m256i words) {
  const __m256i biased = _mm256_xor_si256(words, _mm256_set1_epi16(static_cast<int16_t>(kBias)));
  return _mm256_add_epi32(sums, _mm256_madd_epi16(biased, _mm256_set1_epi16(1)));
}

__attribute__((target("avx2"))) inline __m256i LoadWords(const uint8_t *bytes) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(bytes));
}

/// For as many 32-bit words as are to be loaded, from the eighth element backwards.
alignas(32) constexpr int32_t kWordMasks[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

/// The first `count` of eight words; those beyond are 0, and their memory is not touched.
__attribute__((target("avx2"))) inline __m256i LoadSome(const uint8_t *bytes, size_t count) {
  const __m256i mask = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(kWordMasks + 8 - count));
  return _mm256_maskload_epi32(reinterpret_cast<const int *>(bytes), mask);
}

/// So many bytes at most can be summed before 32 bits overflow.
constexpr size_t kBlock = 64 << 10;

/// The sum of a block, not folded. Lengths of packets are all different, and no processor foresees them: there is one
/// loop, and what is left after it is summed without asking how much that is.
__attribute__((target("avx2"))) inline uint32_t SumBlock(const uint8_t *bytes, size_t length) {
  __m256i a = _mm256_setzero_si256();
  __m256i b = a;
  const size_t rest = length % 64;
  const uint8_t *const end = bytes + length;
  for (; bytes < end - rest; bytes += 64) {
    a = AddWords(a, LoadWords(bytes));
    b = AddWords(b, LoadWords(bytes + 32));
  }
  const size_t words = rest / 4;
  const size_t first = words < 8 ? words : 8;
  a = AddWords(a, LoadSome(bytes, first));
  b = AddWords(b, LoadSome(bytes + 4 * first, words - first));
  a = _mm256_add_epi32(a, b);
  __m128i four = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0b01001110));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0b10110001));
  const auto added = static_cast<uint32_t>((length - rest) / 2 + 32);
  // the last bytes that are no whole word, from the upper end of one that overlaps what was summed
  const auto last = static_cast<uint32_t>(uint64_t{Load<uint32_t>(end - 4)} >> (32 - length % 4 * 8));
  return static_cast<uint32_t>(_mm_cvtsi128_si32(four)) + kBias * added + FoldSum32(last);
}

}  // namespace

__attribute__((target("avx2"))) uint32_t SumWordsAvx2(const uint8_t *bytes, size_t length) {
  if (length < 4) return SumWordsPlain(bytes, length);
  uint64_t sum = 0;
  for (; length > kBlock; bytes += kBlock, length -= kBlock) sum += SumBlock(bytes, kBlock);
  return FoldSum(sum + SumBlock(bytes, length));
}

namespace {

bool HasAvx2() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2");
}

}  // namespace

uint32_t (*const SumManyWords)(const uint8_t *, size_t) = HasAvx2() ? SumWordsAvx2 : SumWordsPlain;
#else
uint32_t (*const SumManyWords)(const uint8_t *, size_t) = SumWordsPlain;
#endif

}  // namespace xenctrl
